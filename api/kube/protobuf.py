"""Just enough of protobuf to read what kubectl sends to the review resources: it sends nothing else in it.

A body is `k8s\\0` and a `runtime.Unknown`, whose second field is the message itself. Messages here hold texts and
other messages only.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.errors import bad_request

MEDIA: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
_RAW: Final = 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT: Final = 10

Layout = Mapping[int, tuple[str, Any]]
"""By number, a field's name and the layout of its message; None: it is a text."""


def decode(body: bytes, layout: Layout) -> dict[str, Any]:
    """The message in a body. Raises APIError (400)."""
    if not body.startswith(_MAGIC):
        raise bad_request("the request's body is not what its Content-Type says")
    try:
        whole = dict(_fields(body[len(_MAGIC) :]))
        return _message(whole.get(_RAW, b""), layout)
    except (IndexError, UnicodeDecodeError, ValueError):
        raise bad_request("the request's body is not valid protobuf") from None


def _message(data: bytes, layout: Layout) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(data):
        if number in layout:
            name, inner = layout[number]
            found[name] = value.decode() if inner is None else _message(value, inner)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and bytes of the fields that have a length; the others are passed over."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in {_FIXED32, _FIXED64}:
            at += 4 if kind == _FIXED32 else 8
        elif kind == _BYTES:
            size, at = _varint(data, at)
            if size > len(data) - at:
                raise ValueError("a field is longer than its message")
            yield number, data[at : at + size]
            at += size
        else:
            raise ValueError("a field is of an unknown type")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number is too long")
