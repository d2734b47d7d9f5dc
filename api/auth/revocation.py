"""Revoked tokens: one record a token id, in the store, so that every replica knows and a restart forgets nothing.

A node's tokens count only while the node is there, and only if they were issued after its tokens were last revoked.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from api.auth.principal import Principal
from api.auth.tokens import LEEWAY, InvalidToken
from controller.resources.meta import ObjectMeta
from controller.resources.node import Node
from controller.resources.record import Record
from controller.store.base import Create, Delete, Store

KIND: Final = "TokenRevocation"
_SWEEP: Final = 200
_GONE: Final = "its node is gone"


def check(store: Store, token_id: str) -> None:
    """Raise InvalidToken if the token was revoked."""
    if store.get(KIND, token_id) is not None:
        raise InvalidToken("revoked")


def check_node(store: Store, principal: Principal) -> None:
    """Raise InvalidToken if the token is for a node that is gone, or that has had its tokens revoked since."""
    if principal.node_uid is None:
        return
    node = store.get("Node", principal.node_name or "")
    if not isinstance(node, Node) or node.uid != principal.node_uid:
        raise InvalidToken(_GONE)
    since = node.status.tokens_revoked_at
    if since is not None and (principal.issued or 0) <= since.timestamp():
        raise InvalidToken("revoked")


def with_name(store: Store, principal: Principal) -> Principal:
    """The principal with its node's name: often its own, else found by its uid. Raises InvalidToken for none."""
    if principal.node_uid is None:
        return principal
    named = store.get("Node", principal.name)
    if named is None or named.uid != principal.node_uid:
        named = next((node for node in store.list("Node").items if node.uid == principal.node_uid), None)
    if named is None:
        raise InvalidToken(_GONE)
    return replace(principal, node_name=named.name)


def still_counts(principal: Principal | None, store: Store, now: datetime) -> bool:
    """Whether the token that opened a stream still counts: no stream may outlive it. Without a token all do."""
    if principal is None:
        return True
    if principal.expires is not None and principal.expires <= now.timestamp() - LEEWAY:
        return False
    try:
        check(store, principal.token_id or "")
        check_node(store, principal)
    except InvalidToken:
        return False
    return True


def record(token_id: str, expires: int | None, *, by: str = "") -> Create:
    """Return the operation that revokes a token. After `expires` the record has no use any more (None: keep it)."""
    return Create(obj=Record(kind=KIND, metadata=ObjectMeta(name=token_id), data={"by": by, "expires": expires}))


def outdated(store: Store, now: datetime) -> tuple[Delete, ...]:
    """Return operations that remove some records of tokens that have expired anyway."""
    limit = now.timestamp() - 60
    stale = [
        Delete(kind=KIND, name=item.name, version=item.metadata.resource_version)
        for item in store.list(KIND).items
        if isinstance(item, Record) and isinstance(expires := item.data.get("expires"), int) and expires < limit
    ]
    return tuple(stale[:_SWEEP])
