"""The three-way merge behind apply (contract F-2)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cli.merge import merged, three_way


@pytest.mark.parametrize(
    ("last", "wanted", "live", "patch"),
    [
        ({}, {"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"a": 1}, {"a": 1, "b": 2}, {}),
        ({"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 2}, {"b": None}),
        ({"a": 1, "b": 2}, {"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1}, {"a": 3}, {"a": 1}),
        ({"m": {"x": 1, "y": 2}}, {"m": {"x": 1}}, {"m": {"x": 1, "y": 2, "z": 3}}, {"m": {"y": None}}),
        ({"m": {"x": 1}}, {}, {"m": {"x": 1}}, {"m": None}),
        ({}, {"l": [1, 2]}, {"l": [1]}, {"l": [1, 2]}),
        ({}, {"l": [1]}, {"l": [1]}, {}),
        ({}, {"a": True}, {"a": 1}, {"a": True}),
        ({}, {"m": {}}, {}, {}),
        ({"m": {"x": 1}}, {"m": {}}, {"m": {"x": 1, "z": 3}}, {"m": {"x": None}}),
        ({"m": 1}, {"m": {"x": 1}}, {"m": 1}, {"m": {"x": 1}}),
    ],
)
def test_the_table(last: Any, wanted: Any, live: Any, patch: Any) -> None:
    """F-2: removed from the file is removed on the server; what others set stays; lists count as one value."""
    assert three_way(last, wanted, live) == patch


VALUES = st.recursive(
    st.booleans() | st.integers() | st.text("ab", max_size=2) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def covers(result: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(result == wanted and type(result) is type(wanted))
    if wanted == {}:
        return result is None or isinstance(result, dict)
    return isinstance(result, dict) and all(covers(result.get(key), value) for key, value in wanted.items())


@given(OBJECTS, OBJECTS, OBJECTS)
def test_what_is_wanted_comes_true_and_a_second_time_changes_nothing(
    last: dict[str, Any], wanted: dict[str, Any], live: dict[str, Any]
) -> None:
    """F-2: apply is idempotent, whatever was there before."""
    result = merged(live, three_way(last, wanted, live))
    assert covers(result, wanted)
    assert three_way(wanted, wanted, result) == {}


@given(OBJECTS, OBJECTS)
def test_foreign_fields_stay(wanted: dict[str, Any], live: dict[str, Any]) -> None:
    """F-2: nothing that the file never had is removed."""
    result = merged(live, three_way(wanted, wanted, live))
    assert live.keys() <= result.keys()


def test_merging_is_rfc_7396() -> None:
    """F-2: examples from the appendix of RFC 7396."""
    for target, patch, result in [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ]:
        assert merged(target, patch) == result
