"""Revoked tokens: one record a token id, in the store, so that every replica knows and a restart forgets nothing."""

from datetime import datetime
from typing import Final

from api.auth.principal import Principal
from api.auth.tokens import LEEWAY, InvalidToken
from controller.resources.meta import ObjectMeta
from controller.resources.record import Record
from controller.store.base import Create, Delete, Store

KIND: Final = "TokenRevocation"
_SWEEP: Final = 200


def check(store: Store, token_id: str) -> None:
    """Raise InvalidToken if the token was revoked."""
    if store.get(KIND, token_id) is not None:
        raise InvalidToken("revoked")


def still_counts(principal: Principal | None, store: Store, now: datetime) -> bool:
    """Whether the token that opened a stream still counts: no stream may outlive it. Without a token all do."""
    if principal is None:
        return True
    if principal.expires is not None and principal.expires <= now.timestamp() - LEEWAY:
        return False
    try:
        check(store, principal.token_id or "")
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
