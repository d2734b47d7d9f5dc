"""Enrolment: one-time tokens by which machines become nodes themselves (contract E-5).

A token is `vjt_<id>_<secret>`: made by an admin, shown once, stored as a hash. The write that uses it up is the one
that creates the node, or that takes over the node which it was made for, so that of two joiners one wins and a
server that is killed loses neither. Whoever did not get the answer repeats the request with the same `key`, which
it drew itself, and is answered again for a few minutes.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import structlog

from controller.admission.caller import Caller
from controller.admission.errors import BadJoinToken, Denied, IdTaken, Refused, Unknown
from controller.admission.ownership import tracked
from controller.admission.registration import (
    blank,
    changed,
    check_name,
    created,
    modest,
    revoked,
    wish,
    without_privilege,
)
from controller.admission.registry import Registry
from controller.contacts import Contacts
from controller.resources.jointoken import JoinToken, JoinTokenSpec, JoinTokenStatus, JoinUse
from controller.resources.meta import ObjectMeta, Resource
from controller.resources.node import Node
from controller.runtime.clock import Clock
from controller.store.base import AlreadyExists, Conflict, Create, Delete, NotFound, Update

Change = Callable[[Node], Node]

REPEATABLE: Final = timedelta(minutes=10)
"""For how long after its use the same joiner is answered again."""
KEPT: Final = timedelta(hours=1)
"""For how long a token is listed after it has expired."""

_TOKEN: Final = re.compile(r"vjt_([0-9a-f]{16})_([0-9a-f]{64})")
_ATTEMPTS: Final = 10
_ANOTHER: Final = "have another one made with `vendetta node join-token`"
_BUSY: Final = "the token or the node is being changed by too many others at once: try again"

log = structlog.get_logger(__name__)


class Joining:
    """What may be asked of join tokens."""

    def __init__(self, *, store: Registry, clock: Clock, contacts: Contacts, node_timeout: int) -> None:
        self._store, self._clock, self._contacts, self._timeout = store, clock, contacts, node_timeout

    async def make(
        self, caller: Caller, *, lifetime: timedelta, node: str | None, labels: Mapping[str, str]
    ) -> tuple[JoinToken, str]:
        """A new token: what is stored of it, and the text that is shown only now."""
        _permit(caller)
        if node is not None:
            check_name(node)
        known = self._store.get("Node", node) if node is not None else None
        name, secret, now = secrets.token_hex(8), secrets.token_hex(32), self._clock.now()
        spec = JoinTokenSpec(
            digest=_digest(secret),
            made_at=now,
            expires=now + lifetime,
            node=node,
            node_uid=known.uid if known is not None else None,
            labels=dict(labels),
            made_by=caller.name,
        )
        token = JoinToken(metadata=ObjectMeta(name=name), spec=spec)
        stored = _token((await self._store.write(Create(obj=token)))[0])
        log.info("join token made", id=name, node=node, by=caller.name)
        return stored, f"vjt_{name}_{secret}"

    def all(self, caller: Caller) -> Sequence[JoinToken]:
        """All tokens that are kept, the used and the expired ones of late among them."""
        _permit(caller)
        return [_token(item) for item in self._store.list("JoinToken").items]

    async def remove(self, name: str, caller: Caller) -> None:
        """Revoke a token: it can neither be used nor be asked about again. Raises Unknown."""
        _permit(caller)
        try:
            await self._store.write(Delete(kind="JoinToken", name=name))
        except NotFound:
            raise Unknown("join token", name) from None
        log.info("join token revoked", id=name, by=caller.name)

    def check(self, text: str) -> JoinToken:
        """The token that this text is. Raises BadJoinToken for one that can neither be used nor be asked about."""
        match = _TOKEN.fullmatch(text)
        found = self._store.get("JoinToken", match[1]) if match else None
        if match is None or not isinstance(found, JoinToken) or not _is(found.spec.digest, match[2]):
            raise BadJoinToken("there is no such join token: it was never made, was revoked, or is long gone")
        if found.status.used is None and self._clock.now() >= found.spec.expires:
            raise BadJoinToken(f"the join token has expired: {_ANOTHER}")
        return found

    async def join(self, text: str, name: str, change: Change, *, key: str = "") -> Node:
        """Create the node, or take it over, and use the token up.

        Raises BadJoinToken, Denied where the token is another node's, IdTaken, Refused, Invalid.
        """
        check_name(name)
        for _ in range(_ATTEMPTS):
            token = self.check(text)
            if token.spec.node not in {None, name}:
                raise Denied("this join token is for another node")
            if token.status.used is not None:
                return self._again(token.status.used, name, key)
            try:
                return await self._use(token, name, change, key)
            except (Conflict, AlreadyExists, NotFound):
                continue
        raise Refused(_BUSY)

    async def _use(self, token: JoinToken, name: str, change: Change, key: str) -> Node:
        known, now = self._store.get("Node", name), self._clock.now()
        if isinstance(known, Node):
            node = self._taken_over(known, token, change, now)
        else:
            node = self._new(name, token, change, now)
        use = JoinUse(node=name, uid=node.uid, at=now, key_digest=_digest(key) if key else "")
        used = token.model_copy(update={"status": JoinTokenStatus(used=use)})
        stored, _ = await self._store.write(Create(obj=node) if known is None else Update(obj=node), Update(obj=used))
        assert isinstance(stored, Node)
        self._contacts.touch(stored.uid, now)
        log.info("node joined", node=name, id=token.name, taken_over=known is not None)
        return stored

    def _new(self, name: str, token: JoinToken, change: Change, now: datetime) -> Node:
        """The node as it says that it is, checks and our own annotations left out. Its uid is drawn here, so that
        the token can hold it in the same write.
        """
        if token.spec.node_uid is not None:
            raise Refused(f'node "{name}" was removed after this join token was made for it: {_ANOTHER}')
        asked = modest(blank(name), change(blank(name)))
        node = created(_labelled(asked, token), _joiner(token), now, self._timeout)
        return node.model_copy(update={"metadata": node.metadata.model_copy(update={"uid": str(uuid4())})})

    def _taken_over(self, old: Node, token: JoinToken, change: Change, now: datetime) -> Node:
        """The node that is there, with what it may say of itself; tokens that it was given earlier are void."""
        if token.spec.node is None:
            raise IdTaken(f'node "{old.name}" already exists: only a join token made for it takes it over')
        if token.spec.node_uid not in {None, old.uid} or not _since(old, token.spec.made_at):
            raise BadJoinToken(f"the join token was made for an earlier node, or revoked: {_ANOTHER}")
        asked = change(old)
        new = _labelled(without_privilege(old, wish(old, asked)), token)
        new = tracked(old, new, asked.metadata.managed_fields, _joiner(token), now)
        new = changed(old, new, now, now, self._timeout, always=True)
        return revoked(new, now)

    def _again(self, use: JoinUse, name: str, key: str) -> Node:
        """The node once more, for the joiner that used the token and did not get the answer."""
        same = bool(key) and use.node == name and _is(use.key_digest, key)
        if not same or self._clock.now() - use.at >= REPEATABLE:
            raise BadJoinToken(f"the join token has been used: {_ANOTHER}")
        node = self._store.get("Node", name)
        if not isinstance(node, Node) or node.uid != use.uid or not _since(node, use.at):
            raise BadJoinToken(f"the node was removed, or its tokens were revoked, after it joined: {_ANOTHER}")
        return node


def outdated(token: Resource, now: datetime) -> bool:
    """Whether a token has served its time, and need not be kept."""
    return isinstance(token, JoinToken) and now - token.spec.expires >= KEPT


def _since(node: Node, at: datetime) -> bool:
    """Whether the node's tokens have not been revoked after that moment."""
    return node.status.tokens_revoked_at is None or node.status.tokens_revoked_at <= at


def _labelled(node: Node, token: JoinToken) -> Node:
    labels = {**node.metadata.labels, **token.spec.labels}
    return node.model_copy(update={"metadata": node.metadata.model_copy(update={"labels": labels})})


def _joiner(token: JoinToken) -> Caller:
    return Caller(name=f"join-token {token.name}")


def _permit(caller: Caller) -> None:
    if not caller.admin:
        raise Denied("join tokens need the role admin")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is(digest: str, text: str) -> bool:
    return hmac.compare_digest(digest, _digest(text))


def _token(obj: object) -> JoinToken:
    assert isinstance(obj, JoinToken)
    return obj
