"""Nodes: registering, changing, removing, hearing from them.

A caller says what it wants as a function from the node as it is to the node as it should be, so that a conflict
with another writer is solved by asking that function again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import structlog

from controller.admission.caller import Caller
from controller.admission.deletion import marked, released
from controller.admission.errors import Denied, IdTaken, Refused, Stale, Unknown
from controller.admission.ownership import tracked
from controller.admission.registration import (
    blank,
    changed,
    check_name,
    created,
    keep_checks,
    revoked,
    wish,
    without_privilege,
)
from controller.admission.registry import Registry
from controller.admission.status import observed
from controller.admission.trust import confirming, trusting
from controller.contacts import Contacts
from controller.outcome import ended
from controller.resources.command import Command
from controller.resources.node import Node, NodeSpec
from controller.resources.service import Service
from controller.resources.types import Scalar
from controller.runtime.clock import Clock
from controller.store.base import AlreadyExists, Conflict, Create, Delete, NotFound, Update

Change = Callable[[Node], Node]
"""From the node as it is (or a blank one of that name) to the node as it should be. Only its wish is taken."""

NodePatch = Change

ATTEMPTS: Final = 10
BATCH: Final = 500
_BUSY = "the node is being changed by too many others at once: try again"

log = structlog.get_logger(__name__)


class Nodes:
    """What may be asked of nodes (contract B)."""

    def __init__(self, *, store: Registry, clock: Clock, contacts: Contacts, node_timeout: int) -> None:
        self._store, self._clock, self._contacts, self._timeout = store, clock, contacts, node_timeout

    def get(self, name: str) -> Node:
        """The node. Raises Unknown."""
        node = self._store.get("Node", name)
        if not isinstance(node, Node):
            raise Unknown("node", name)
        return node

    async def register(self, name: str, change: Change, caller: Caller) -> Node:
        """Create the node, or bring it up to date; either counts as contact (B-1)."""
        check_name(name)
        for _ in range(ATTEMPTS):
            known = self._store.get("Node", name)
            try:
                if isinstance(known, Node):
                    return await self._register_again(known, change, caller)
                return await self._create(change(blank(name)), caller)
            except (Conflict, AlreadyExists, NotFound):
                continue
        raise Refused(_BUSY)

    async def create(self, node: Node, caller: Caller) -> Node:
        """Create the node. Raises IdTaken where there is one of that name."""
        check_name(node.name)
        try:
            return await self._create(node, caller)
        except AlreadyExists:
            raise IdTaken(f'node "{node.name}" already exists') from None

    async def update(self, name: str, change: Change, caller: Caller, *, version: str = "") -> Node:
        """Change the node. Raises Stale when it is not at `version`; an operator may only cordon and uncordon."""
        for _ in range(ATTEMPTS):
            old = self.get(name)
            if version and old.metadata.resource_version != version:
                raise Stale(f'node "{name}" has changed since it was read: read it again')
            asked = change(old)
            new = wish(old, asked)
            _permit(old, new, caller)
            new = tracked(old, new, asked.metadata.managed_fields, caller, self._clock.now())
            try:
                if released(new):
                    return await self._remove(new)
                return await self._store_change(old, new, self._last(old))
            except Conflict:
                continue
            except NotFound:
                raise Unknown("node", name) from None
        raise Refused(_BUSY)

    async def observe(self, name: str, change: Change, caller: Caller, *, version: str = "") -> Node:
        """Take what somebody else has observed of the node: conditions of other types than the controller's."""
        if not caller.admin:
            raise Denied("only an admin may write a node's status")
        for _ in range(ATTEMPTS):
            old = self.get(name)
            if version and old.metadata.resource_version != version:
                raise Stale(f'node "{name}" has changed since it was read: read it again')
            new = observed(old, change(old).status.conditions)
            try:
                return old if new == old else _node((await self._store.write(Update(obj=new)))[0])
            except (Conflict, NotFound):
                continue
        raise Refused(_BUSY)

    async def delete(self, name: str, caller: Caller) -> Node:
        """Remove the node; commands under way on it become unknown/NodeDeleted in the same write (B-7).

        One with finalizers is only marked for now.
        """
        if not caller.admin:
            raise Denied("only an admin may remove a node")
        for _ in range(ATTEMPTS):
            node = self.get(name)
            try:
                if node.metadata.finalizers:
                    return _node((await self._store.write(Update(obj=marked(node, self._clock.now()))))[0])
                return await self._remove(node)
            except (Conflict, NotFound):
                continue
        raise Refused(_BUSY)

    async def _remove(self, node: Node) -> Node:
        lost = self._under_way(node.name)
        delete = Delete(kind="Node", name=node.name, uid=node.uid, version=node.metadata.resource_version)
        await self._store.write(delete, *self._losses(lost[:BATCH]))
        self._contacts.forget(node.uid)
        await self._lose_rest(node.name, more=len(lost) > BATCH)
        return node

    async def heartbeat(
        self,
        name: str,
        caller: Caller,
        *,
        services: Sequence[Service] | None = None,
        capabilities: dict[str, Scalar] | None = None,
    ) -> None:
        """The node is there, says the node itself (B-8). Never changes intent, address, transport or checks."""
        for _ in range(ATTEMPTS):
            node = self.get(name)
            if not caller.acts_for(node.uid):
                raise Denied("only the node itself may send its heartbeat")
            self._contacts.touch(node.uid, self._clock.now())
            heard = node.model_copy(update={"spec": _heard(node.spec, services, capabilities)})
            new = tracked(node, heard, node.metadata.managed_fields, caller, self._clock.now())
            try:
                await self._store_change(node, new, self._last(node))
            except (Conflict, NotFound):
                continue
            return
        raise Refused(_BUSY)

    async def trust(
        self, name: str, caller: Caller, *, fingerprint: str | None = None, credential: bool = False
    ) -> Node:
        """Accept a host key that the node presented (E-7), and another place for its credential (B-2).

        Raises Refused for a key that it did not present, and where no credential waits.
        """
        if not caller.admin:
            raise Denied("only an admin may trust a host key or another place for a credential")
        for _ in range(ATTEMPTS):
            node, now = self.get(name), self._clock.now()
            new = confirming(node, now) if credential else node
            try:
                writes = (
                    trusting(self._store, new, fingerprint, now) if fingerprint is not None else [Update(obj=new)]
                )
                stored = await self._store.write(*writes)
            except (Conflict, AlreadyExists, NotFound):
                continue
            log.info("trusted", node=name, fingerprint=fingerprint, credential=credential, by=caller.name)
            return _node(stored[0])
        raise Refused(_BUSY)

    async def revoke_tokens(self, name: str, caller: Caller) -> Node:
        """Have no token count any more that was issued to this node until now, nor its join tokens (E-5)."""
        if not caller.admin:
            raise Denied("only an admin may revoke a node's tokens")
        for _ in range(ATTEMPTS):
            node = self.get(name)
            try:
                stored = await self._store.write(Update(obj=revoked(node, self._clock.now())))
            except (Conflict, NotFound):
                continue
            log.info("tokens of a node revoked", node=name, by=caller.name)
            return _node(stored[0])
        raise Refused(_BUSY)

    def last_seen(self, node: Node) -> datetime | None:
        """The live time of the last contact."""
        return self._contacts.last(node.uid, node.status.last_seen)

    _last = last_seen

    async def _create(self, asked: Node, caller: Caller) -> Node:
        if not caller.admin:
            raise Denied("only an admin may create a node")
        now = self._clock.now()
        node = created(asked, caller, now, self._timeout)
        stored = _node((await self._store.write(Create(obj=node)))[0])
        self._contacts.touch(stored.uid, now)
        return stored

    async def _register_again(self, old: Node, change: Change, caller: Caller) -> Node:
        if not caller.acts_for(old.uid):
            raise Denied("only an admin, or the node itself, may register a node again")
        now = self._clock.now()
        asked = change(old)
        new = wish(old, asked)
        if not caller.admin:
            new = without_privilege(old, new)
        new = tracked(old, new, asked.metadata.managed_fields, caller, now)
        self._contacts.touch(old.uid, now)
        return await self._store_change(old, new, now, always=True)

    async def _store_change(self, old: Node, new: Node, contact: datetime | None, *, always: bool = False) -> Node:
        """Write the node in its new phase, under the version that was read. `always`: as a registration, too."""
        obj = changed(old, new, contact, self._clock.now(), self._timeout, always=always)
        return old if obj is old else _node((await self._store.write(Update(obj=obj)))[0])

    def _under_way(self, name: str) -> list[Command]:
        commands = self._store.list("Command").items
        return [c for c in commands if isinstance(c, Command) and c.spec.node == name and not c.ended]

    def _losses(self, commands: Sequence[Command]) -> list[Update]:
        now = self._clock.now()
        return [Update(obj=_lost(c, now)) for c in commands]

    async def _lose_rest(self, name: str, *, more: bool) -> None:
        """The commands beyond the first batch; a new node of the same name has none yet."""
        while more and (rest := self._under_way(name)[:BATCH]):
            for command in rest:
                try:
                    await self._store.write(*self._losses([command]))
                except (Conflict, NotFound):
                    continue


def _node(obj: object) -> Node:
    assert isinstance(obj, Node)
    return obj


def _permit(old: Node, new: Node, caller: Caller) -> None:
    """An admin may change everything, an operator only the cordon."""
    cordon_only = old.spec.model_copy(update={"unschedulable": new.spec.unschedulable})
    if caller.admin or (caller.operator and new.spec == cordon_only and new.metadata == old.metadata):
        return
    raise Denied("only an admin may change a node; an operator may set its status to active or inactive")


def _heard(spec: NodeSpec, services: Sequence[Service] | None, capabilities: dict[str, Scalar] | None) -> NodeSpec:
    said: dict[str, object] = {}
    if services is not None:
        said["services"] = keep_checks(spec.services, services)
    if capabilities is not None:
        said["capabilities"] = capabilities
    return spec.model_copy(update=said) if said else spec


def _lost(command: Command, now: datetime) -> Command:
    status = ended(
        command.status,
        phase="unknown",
        reason="NodeDeleted",
        message=f'node "{command.spec.node}" was removed while the command was under way',
        certainty="unknown",
        now=now,
    )
    return command.model_copy(update={"status": status})
