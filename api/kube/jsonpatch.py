"""JSON patch (RFC 6902): a list of operations, all of them or none."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

from pydantic_core import from_json, to_json

from api.errors import APIError, bad_request

MAX_OPERATIONS: Final = 10_000
MAX_COPIED: Final = 4 * 1024 * 1024
"""Bytes of JSON that the `copy` operations of a patch may make: each may double what is there."""

Operation = dict[str, Any]
Tokens = tuple[str, ...]

_NEEDS: Final = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": ("value",),
}


def parse(body: bytes) -> Sequence[Operation]:
    """The operations in a body. Raises APIError (400)."""
    try:
        operations = from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the request's body is not valid JSON: {error}") from None
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    if len(operations) > MAX_OPERATIONS:
        raise bad_request(f"a JSON patch has at most {MAX_OPERATIONS} operations")
    for number, operation in enumerate(operations):
        _check(number, operation)
    return operations


def patched(document: Any, operations: Sequence[Operation]) -> Any:
    """The document after all operations. Raises APIError (422): a path that is not there, a test that fails."""
    holder, copied = {"": deepcopy(document)}, 0
    for number, operation in enumerate(operations):
        try:
            copied += _apply(holder, operation)
        except (LookupError, ValueError) as error:
            raise _failed(number, operation, str(error)) from None
        except RecursionError:
            raise _failed(number, operation, "the value there is nested too deeply") from None
        if copied > MAX_COPIED:
            raise _failed(number, operation, "the patch copies too much")
    return holder.get("")


def _check(number: int, operation: Any) -> None:
    kind = operation.get("op") if isinstance(operation, dict) else None
    if not isinstance(kind, str) or kind not in _NEEDS:
        raise bad_request(f"operation {number} of the JSON patch: op is one of {', '.join(_NEEDS)}")
    for name in ("path", *_NEEDS[kind]):
        if name not in operation:
            raise bad_request(f"operation {number} of the JSON patch: {kind} needs {name}")
        if name != "value":
            _tokens(number, operation[name])


def _tokens(number: int, pointer: Any) -> Tokens:
    """A JSON pointer (RFC 6901), taken apart. Raises APIError (400)."""
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise bad_request(f"operation {number} of the JSON patch: a path is empty or begins with /")
    if "~" in pointer.replace("~0", "").replace("~1", ""):
        raise bad_request(f"operation {number} of the JSON patch: in a path ~ is written ~0, and / within a key ~1")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _apply(holder: dict[str, Any], operation: Operation) -> int:
    """Do one operation. Returns the bytes that it copied."""
    path, value = _place(operation["path"]), operation.get("value")
    match operation["op"]:
        case "add":
            _add(holder, path, deepcopy(value))
        case "remove":
            _remove(holder, path)
        case "replace":
            _remove(holder, path)
            _add(holder, path, deepcopy(value))
        case "move":
            source = _place(operation["from"])
            if path[: len(source)] == source and path != source:
                raise ValueError("a value cannot be moved into itself")
            _add(holder, path, _remove(holder, source))
        case "copy":
            copy = deepcopy(_get(holder, _place(operation["from"])))
            _add(holder, path, copy)
            return len(to_json(copy))
        case "test":
            if not _same(_get(holder, path), value):
                raise ValueError("the value there is another one")
    return 0


def _place(pointer: str) -> Tokens:
    return ("", *_tokens(0, pointer))


def _get(container: Any, path: Tokens) -> Any:
    for token in path:
        container = container[_key(container, token)]
    return container


def _add(holder: Any, path: Tokens, value: Any) -> None:
    container = _get(holder, path[:-1])
    match container:
        case list():
            last = len(container)
            container.insert(last if path[-1] == "-" else _index(path[-1], last), value)
        case dict():
            container[path[-1]] = value
        case _:
            raise LookupError("there is no map or list at the path")


def _remove(holder: Any, path: Tokens) -> Any:
    container = _get(holder, path[:-1])
    key = _key(container, path[-1])
    return container.pop(key)


def _key(container: Any, token: str) -> str | int:
    """What a token means in that container. Raises LookupError where there is nothing."""
    if isinstance(container, list):
        return _index(token, len(container) - 1)
    if isinstance(container, dict) and token in container:
        return token
    raise LookupError("there is nothing at the path")


def _index(token: str, last: int) -> int:
    if not (token.isascii() and token.isdecimal()) or (len(token) > 1 and token.startswith("0")) or len(token) > 9:
        raise LookupError(f"{token[:40]!r} is no index of a list")
    if int(token) > last:
        raise LookupError("the list has no such index")
    return int(token)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1, and 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return (numbers or type(one) is type(other)) and bool(one == other)


def _failed(number: int, operation: Operation, why: str) -> APIError:
    kind, path = operation["op"], operation["path"][:200]
    return APIError(422, "Invalid", f"the JSON patch fails: operation {number} ({kind} {path}): {why}")
