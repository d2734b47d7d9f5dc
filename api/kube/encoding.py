"""Resources as the Kubernetes face shows them."""

from collections.abc import Iterable

from controller.resources.meta import Resource


def encode_items(kind: str, api_version: str, metadata: bytes, items: Iterable[bytes]) -> bytes:
    """A list's JSON, joined from its items' bytes."""
    return b'{"kind":"%s","apiVersion":"%s","metadata":%s,"items":[%s]}' % (
        kind.encode(),
        api_version.encode(),
        metadata,
        b",".join(items),
    )


def encode_object(obj: Resource) -> bytes:
    """camelCase; of the metadata only what is set, of spec and status everything that has a value."""
    meta = obj.metadata.model_dump_json(by_alias=True, exclude_defaults=True)
    parts = [f'"apiVersion":"{obj.api_version}"', f'"kind":"{obj.kind}"', f'"metadata":{meta}']
    for name in ("spec", "status"):
        part = getattr(obj, name, None)
        if part is not None:
            parts.append(f'"{name}":{part.model_dump_json(by_alias=True, exclude_none=True)}')
    return ("{" + ",".join(parts) + "}").encode()
