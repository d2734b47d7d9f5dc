"""How deeply JSON may be nested (contract A-4)."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.depth import check_depth, is_json
from api.errors import APIError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}"\\ab\u20ac'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[{"\\a'), inner, max_size=4),
    max_leaves=40,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((depth(v) for v in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth(v) for v in value), default=0)
    return 0


@given(values, st.integers(min_value=0, max_value=6))
def test_it_refuses_exactly_what_is_deeper(value: object, limit: int) -> None:
    """A-4: brackets in texts are no nesting."""
    refused = False
    try:
        check_depth(json.dumps(value).encode(), limit)
    except APIError:
        refused = True
    assert refused == (depth(value) > limit)


@given(st.binary(max_size=200))
def test_it_never_fails_otherwise(body: bytes) -> None:
    """A-4: what is no JSON is left to the parser."""
    with suppress(APIError):
        check_depth(body, 3)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 4_000_000,
        b"[]" * 2_000_000,
        b'"[' * 2_000_000,
        b'{"":' * 1_000_000,
        b'"\\' * 2_000_000,
        b"[" * 101 + b'\\"' * 2_000_000,
        b"[" * 101 + b'"' + b'\\"' * 2_000_000,
    ],
    ids=["lists", "pairs", "texts", "objects", "backslashes", "escaped quotes", "an unfinished text"],
)
def test_a_hostile_body_costs_little(body: bytes) -> None:
    """A-4: bounded work, or the check would be the attack."""
    begun = time.process_time()
    with suppress(APIError):
        check_depth(body)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("kind", "json_it_is"),
    [("application/json", True), ("application/merge-patch+json", True), ("application/yaml", False), ("", True)],
)
def test_which_bodies_are_looked_at(kind: str, json_it_is: bool) -> None:
    """A-4: all, but for those that say they are something else."""
    assert is_json([(b"content-type", kind.encode())]) is json_it_is
