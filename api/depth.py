"""Bounds how deeply JSON is nested, before any parser sees it (contract A-4)."""

import re
from collections.abc import Iterable
from typing import Final

from api.errors import bad_request
from api.limits import MAX_JSON_DEPTH

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_SAME: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))
_OTHER_TYPES: Final = (b"yaml", b"octet-stream", b"text/")


def is_json(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a body is to be taken for JSON: it is, unless it says that it is something else."""
    for name, value in headers:
        if name == b"content-type":
            return not any(other in value.lower() for other in _OTHER_TYPES)
    return True


def check_depth(body: bytes, limit: int = MAX_JSON_DEPTH) -> None:
    """Raise APIError (400) if arrays and objects are nested more deeply than `limit`.

    All steps run at the speed of C: each round takes the innermost pairs away, so that what is left after `limit`
    rounds was nested more deeply. What is no JSON at all is left for the parser to refuse.
    """
    if body.count(b"[") + body.count(b"{") <= limit:
        return
    brackets = _STRING.sub(b"", body).translate(_SAME, _NO_BRACKET)
    for _ in range(limit):
        fewer = brackets.replace(b"[]", b"")
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    if b"[" in brackets:
        raise bad_request(f"the request's body is not valid JSON, or nested more than {limit} levels deep")
