"""Handing commands out to agents that fetch them and report by themselves (contract C-13).

A command is handed out at most once: that it was, and the hash of its nonce, is stored before the agent gets it. An
answer that is lost on the way is not repeated, since nobody could tell whether the agent has begun.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from controller.admission.caller import Caller
from controller.admission.errors import Denied, Refused, Unknown
from controller.admission.registry import Registry
from controller.admission.results import FOREIGN, digest_of_nonce, reports_by_itself
from controller.contacts import Contacts
from controller.resources.command import Command, Delivery, SecretRef
from controller.resources.node import Node
from controller.runtime.clock import Clock
from controller.store.base import Conflict, NotFound, Update

log = structlog.get_logger(__name__)

_ATTEMPTS: Final = 10
_MESSAGE: Final = "handed to the node's agent, which reports by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A command that was handed out, and the nonce that its report must carry."""

    command: Command
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What an agent gets when it asks. `cancelled` are names of commands handed out before that are to be stopped."""

    claims: Sequence[Claim]
    cancelled: Sequence[str]


class Claiming:
    """What such an agent may ask."""

    def __init__(self, *, store: Registry, clock: Clock, contacts: Contacts) -> None:
        self._store, self._clock, self._contacts = store, clock, contacts

    async def claim(self, name: str, caller: Caller, *, limit: int) -> Claims:
        """Hand out at most so many of the node's commands to its agent. Being asked counts as contact.

        Raises Unknown, Denied for anybody else, Refused for a node whose commands the server delivers itself.
        """
        for _ in range(_ATTEMPTS):
            node, now = self._node(name, caller), self._clock.now()
            self._contacts.touch(node.uid, now)
            mine = self._under_way(name)
            claims = [handed_out(command, node, now) for command in waiting(mine, node, now)[:limit]]
            try:
                await self._store.write(*(Update(obj=claim.command) for claim in claims))
            except (Conflict, NotFound):
                continue
            for claim in claims:
                log.info("command handed out", command=claim.command.name, node=name)
            return Claims(claims=claims, cancelled=cancelled(mine))
        raise Refused("the node's commands are being changed by too many others at once: try again")

    def _node(self, name: str, caller: Caller) -> Node:
        node = self._store.get("Node", name)
        if not isinstance(node, Node):
            raise Unknown("node", name)
        if not caller.trusted_local and caller.node_uid != node.uid:
            raise Denied("only the node itself may fetch its commands")
        if not reports_by_itself(node):
            raise Refused(f'commands of node "{name}" are delivered by the server: it has a transport')
        return node

    def _under_way(self, node: str) -> list[Command]:
        commands = self._store.list("Command").items
        return [c for c in commands if isinstance(c, Command) and c.spec.node == node and not c.ended]


def waiting(commands: Sequence[Command], node: Node, now: datetime) -> list[Command]:
    """Those that may be handed out now, in the order in which they were accepted."""
    ready = [c for c in commands if _is_ready(c, node, now)]
    return sorted(ready, key=lambda c: (c.status.queued or now, c.name))


def cancelled(commands: Sequence[Command]) -> list[str]:
    """Those that have been handed out and are to be stopped."""
    return sorted(c.name for c in commands if c.handed_out and c.spec.cancel and not c.ended)


def handed_out(command: Command, node: Node, now: datetime) -> Claim:
    """The command as handed out now, with a new nonce."""
    nonce = secrets.token_hex(16)
    delivery = Delivery(
        node_uid=node.uid, transport=FOREIGN, sent_at=now, acked=True, nonce_digest=digest_of_nonce(nonce)
    )
    status = command.status.model_copy(
        update={
            "phase": "running",
            "reason": "Claimed",
            "message": _MESSAGE,
            "started": now,
            "delivery": delivery,
            "transport": FOREIGN,
            "attempts": 1,
            "observed_generation": command.metadata.generation,
        }
    )
    return Claim(command=command.model_copy(update={"status": status}), nonce=nonce)


def _is_ready(command: Command, node: Node, now: datetime) -> bool:
    """Not sent, not cancelled, still in time, and not held back by the cordon.

    Values by reference are read at delivery and belong on no wire but the server's own: such a command waits for a
    transport.
    """
    status, params = command.status, command.spec.params
    accepted = status.queued or command.metadata.creation_timestamp or now
    return (
        status.phase == "pending"
        and status.delivery is None
        and not command.spec.cancel
        and now < accepted + timedelta(microseconds=params.delivery_timeout // 1000)
        and (params.force or not node.spec.unschedulable)
        and not any(isinstance(value, SecretRef) for value in params.env.values())
    )
