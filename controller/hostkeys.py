"""Which host keys are trusted where (contract E-7): the manifest's, the known_hosts file's, and those pinned before.

Pins are records named `address:port`, so they outlive the node that was reached there.
"""

import contextlib
from datetime import datetime
from typing import Final

from controller.resources.meta import ObjectMeta
from controller.resources.record import Record
from controller.store.base import AlreadyExists, Create, Store

PIN: Final = "HostKeyPin"


def pin_name(address: str, port: int) -> str:
    """The record that holds the pins of one place."""
    return f"{address}:{port}"


def pinned(store: Store, address: str, port: int) -> tuple[str, ...]:
    """The keys pinned there, as OpenSSH public key lines."""
    record = store.get(PIN, pin_name(address, port))
    if not isinstance(record, Record):
        return ()
    keys = record.data.get("keys")
    return tuple(k for k in keys if isinstance(k, str)) if isinstance(keys, list) else ()


async def pin_first(store: Store, address: str, port: int, key: str, at: datetime) -> tuple[str, ...]:
    """Pin a key at first contact. Whoever was first wins: returns the keys that are pinned now."""
    record = Record(
        kind=PIN,
        metadata=ObjectMeta(name=pin_name(address, port)),
        data={"keys": [key], "since": at.isoformat()},
    )
    with contextlib.suppress(AlreadyExists):
        await store.write(Create(obj=record))
    return pinned(store, address, port)
