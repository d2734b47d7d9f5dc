"""Objects encoded once a version, and served from those bytes."""

from collections.abc import Callable, Hashable
from typing import Final

from controller.resources.meta import Resource

LIMIT: Final = 64 * 1024 * 1024


class Encoder:
    """Objects are frozen, so uid and resourceVersion name the bytes for ever. Bounded by size; oldest first out."""

    def __init__(self, encode: Callable[[Resource], bytes], limit: int = LIMIT) -> None:
        self._encode, self._limit, self._size = encode, limit, 0
        self._bytes: dict[tuple[str, str], bytes] = {}

    def encode(self, obj: Resource) -> bytes:
        """The object's JSON."""
        key = (obj.metadata.uid, obj.metadata.resource_version)
        known = self._bytes.get(key)
        if known is not None:
            return known
        body = self._encode(obj)
        if all(key):
            self._keep(key, body)
        return body

    def _keep(self, key: tuple[str, str], body: bytes) -> None:
        self._bytes[key] = body
        self._size += len(body)
        while self._size > self._limit:
            oldest = next(iter(self._bytes))
            self._size -= len(self._bytes.pop(oldest))


class Latest:
    """One body, as long as what it was made of stands."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._body = b""

    def get(self, key: Hashable) -> bytes | None:
        """The body made under that key, which names everything that it depends on."""
        return self._body if key == self._key else None

    def keep(self, key: Hashable, body: bytes) -> bytes:
        """Keep it under that key, and return it."""
        self._key, self._body = key, body
        return body
