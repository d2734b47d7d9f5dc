"""The three-way merge behind apply: what the file said last time, what it says now, what the server has.

A field that left the file is removed on the server; a field that the file never had is somebody else's and stays.
The result is a JSON merge patch (RFC 7396), so a list counts as one value.
"""

from typing import Any

JSONObject = dict[str, Any]


def three_way(last: JSONObject, wanted: JSONObject, live: JSONObject) -> JSONObject:
    """The patch that takes `live` to what `wanted` asks for, given that `last` was asked for before."""
    patch: JSONObject = {}
    for key in last.keys() - wanted.keys():
        if key in live:
            patch[key] = None
    for key, value in wanted.items():
        here = live.get(key)
        if isinstance(value, dict) and isinstance(here, dict):
            before = last.get(key)
            inner = three_way(before if isinstance(before, dict) else {}, value, here)
            if inner:
                patch[key] = inner
        elif value == {} and key not in live:
            continue  # nothing inside nothing: an empty map is the same as none
        elif key not in live or here != value or type(here) is not type(value):
            patch[key] = value
    return patch


def merged(target: Any, patch: Any) -> Any:
    """The target with a merge patch applied (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
