"""Dataclasses as JSON values and back, strictly: the form in which a transport and an agent speak to each other.

    dump(value)        -> what `json.dumps` takes
    load(kind, value)  -> an instance of `kind`, or Malformed

Bytes are base64 text, enumerations their value, tuples lists; None is left out, and what is left out has its default.
Keys that are not known are ignored, so that a newer peer may say more.
"""

import base64
import binascii
import dataclasses
import math
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

_SHOWN = 60


class Malformed(ValueError):
    """A value from a peer that does not have the agreed form; the message says where."""


def dump(value: object) -> Any:
    """The JSON value of a dataclass, or of anything that a field of one may hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {name: dump(held) for name, held in fields if held is not None}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [dump(item) for item in value]
    if isinstance(value, dict):
        return {key: dump(item) for key, item in value.items()}
    return value


def load(kind: type[T], value: object) -> T:
    """The dataclass that `value` describes. Raises Malformed."""
    return cast("T", _loader(cast("Any", kind))(value, kind.__name__))


_Loader = Callable[[object, str], Any]


@cache
def _loader(kind: Any) -> _Loader:
    """How a value of that type is read."""
    if kind is Any:
        return lambda value, where: value
    if isinstance(kind, NewType):
        return _loader(kind.__supertype__)
    if get_origin(kind) in {Union, UnionType}:
        return _optional(kind)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind))
    if get_origin(kind) is dict:
        return _strings
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if issubclass(kind, Enum):
        return _enum(kind)
    return _PLAIN[kind]


def _optional(kind: Any) -> _Loader:
    (inner,) = (_loader(part) for part in get_args(kind) if part is not NoneType)
    return lambda value, where: None if value is None else inner(value, where)


def _tuple(parts: tuple[Any, ...]) -> _Loader:
    if parts[-1] is Ellipsis:
        item = _loader(parts[0])
        return lambda value, where: tuple(item(held, f"{where}[{i}]") for i, held in enumerate(_list(value, where)))
    items = [_loader(part) for part in parts]

    def read(value: object, where: str) -> tuple[Any, ...]:
        held = _list(value, where)
        if len(held) != len(items):
            raise Malformed(f"{where}: {len(items)} items expected, not {len(held)}")
        return tuple(item(one, f"{where}[{i}]") for i, (item, one) in enumerate(zip(items, held, strict=True)))

    return read


def _dataclass(kind: Any) -> _Loader:
    hints = get_type_hints(kind)
    fields = [(f.name, _loader(hints[f.name]), _is_required(f)) for f in dataclasses.fields(kind) if f.init]

    def read(value: object, where: str) -> Any:
        if not isinstance(value, dict):
            raise _unexpected("an object", value, where)
        found = {}
        for name, loader, required in fields:
            if name in value:
                found[name] = loader(value[name], f"{where}.{name}")
            elif required:
                raise Malformed(f"{where}.{name} is missing")
        return kind(**found)

    return read


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _enum(kind: type[Enum]) -> _Loader:
    def read(value: object, where: str) -> Enum:
        try:
            return kind(value)
        except ValueError:
            raise _unexpected(f"one of {', '.join(str(m.value) for m in kind)}", value, where) from None

    return read


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise _unexpected("a list", value, where)
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _unexpected("text", value, where)
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no store takes
        raise _unexpected("Unicode text", value, where) from None
    return value


def _integer(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _unexpected("an integer", value, where)
    return value


def _number(value: object, where: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):  # JSON has integers that are beyond every float
            if math.isfinite(value):
                return float(value)
    raise _unexpected("a number", value, where)


def _boolean(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise _unexpected("true or false", value, where)
    return value


def _bytes(value: object, where: str) -> bytes:
    try:
        return base64.b64decode(_text(value, where).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Malformed(f"{where}: not base64") from None


def _strings(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _unexpected("an object", value, where)
    return {_text(key, where): _text(held, f"{where}.{key}") for key, held in value.items()}


_PLAIN: dict[type, _Loader] = {str: _text, int: _integer, float: _number, bool: _boolean, bytes: _bytes}


def _unexpected(wanted: str, value: object, where: str) -> Malformed:
    shown = repr(value)
    return Malformed(f"{where}: {wanted} expected, not {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'}")
