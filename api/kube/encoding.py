"""Resources as the Kubernetes face shows them: encoded once a version, and served from those bytes."""

from collections.abc import Iterable
from typing import Final

from controller.resources.meta import Resource

_LIMIT: Final = 64 * 1024 * 1024


class Encoder:
    """Objects are frozen, so uid and resourceVersion name the bytes for ever. Bounded by size; oldest first out."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit, self._size = limit, 0
        self._bytes: dict[tuple[str, str], bytes] = {}

    def encode(self, obj: Resource) -> bytes:
        """The object's JSON."""
        key = (obj.metadata.uid, obj.metadata.resource_version)
        known = self._bytes.get(key)
        if known is not None:
            return known
        body = encode_object(obj)
        if all(key):
            self._keep(key, body)
        return body

    def encode_list(self, kind: str, metadata: bytes, objects: Iterable[Resource]) -> bytes:
        """A list's JSON, joined from its objects' bytes."""
        items = b",".join([self.encode(obj) for obj in objects])
        return b'{"kind":"%sList","apiVersion":"vendetta.dev/v1","metadata":%s,"items":[%s]}' % (
            kind.encode(),
            metadata,
            items,
        )

    def _keep(self, key: tuple[str, str], body: bytes) -> None:
        self._bytes[key] = body
        self._size += len(body)
        while self._size > self._limit:
            oldest = next(iter(self._bytes))
            self._size -= len(self._bytes.pop(oldest))


def encode_object(obj: Resource) -> bytes:
    """camelCase; of the metadata only what is set, of spec and status everything that has a value."""
    meta = obj.metadata.model_dump_json(by_alias=True, exclude_defaults=True)
    parts = [f'"apiVersion":"{obj.api_version}"', f'"kind":"{obj.kind}"', f'"metadata":{meta}']
    for name in ("spec", "status"):
        part = getattr(obj, name, None)
        if part is not None:
            parts.append(f'"{name}":{part.model_dump_json(by_alias=True, exclude_none=True)}')
    return ("{" + ",".join(parts) + "}").encode()
