"""Resources as the Kubernetes face shows them."""

from collections.abc import Iterable

from api.encoding import Encoder
from controller.resources.meta import Resource


def encode_list(encoder: Encoder, kind: str, metadata: bytes, objects: Iterable[Resource]) -> bytes:
    """A list's JSON, joined from its objects' bytes."""
    items = b",".join([encoder.encode(obj) for obj in objects])
    return b'{"kind":"%sList","apiVersion":"vendetta.dev/v1","metadata":%s,"items":[%s]}' % (
        kind.encode(),
        metadata,
        items,
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
