"""Selectors: the grammar of `kubectl -l`, and errors that show where."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.store.selector import Requirement, Selector, SelectorError

ENV = {"env": "dev", "tier": "db", "n": "5", "in": "x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("  ", True),
        ("env=dev", True),
        ("env==dev", True),
        (" env = dev ", True),
        ("env=prod", False),
        ("env!=prod", True),
        ("env!=dev", False),
        ("zone!=a", True),
        ("env in (dev, prod)", True),
        ("env in(prod)", False),
        ("env notin (prod)", True),
        ("env notin(dev,prod)", False),
        ("zone notin (a)", True),
        ("env", True),
        ("zone", False),
        ("!zone", True),
        ("! env", False),
        ("env,tier=db,!zone", True),
        ("env,tier=web", False),
        ("env=dev,env=prod", False),
        ("zone=", False),
        ("env in (dev,)", True),
        ("in in (x)", True),
        ("n>4,n<6", True),
        ("n > 5", False),
        ("env>1", False),
        ("zone<1", False),
        ("example.com/a", False),
    ],
)
def test_a_selector_selects_as_kubernetes_does(text: str, expected: bool) -> None:
    """Every operator, with and without blanks, for keys that are there and keys that are not."""
    assert Selector.parse(text).matches(ENV) is expected


def test_an_empty_value_is_a_value() -> None:
    """`a=` selects an empty label, not an absent one."""
    assert Selector.parse("a=").matches({"a": ""})
    assert not Selector.parse("a=").matches({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,", "expected a label key, found the end at character 3"),
        (",a", "expected a label key, found ',' at character 1"),
        ("a b", "found 'b' at character 3"),
        ("a=b c", "expected ',', found 'c' at character 5"),
        ("=b", "found '=' at character 1"),
        ("a in b", r"expected '\(', found 'b' at character 6"),
        ("a in (b", r"expected '\)', found the end at character 8"),
        ("a in b)", "at character 6"),
        ("!", "expected a label key"),
        ("!a=b", "expected ','"),
        ("a!b", "expected an operator"),
        ("a=@", "'@' is not a valid label value"),
        ("-a", "'-a' is not a valid label key"),
        ("a/b/c", "is not a valid label key"),
        ("a>x", "expected an integer"),
        ("a>", "expected an integer, found the end"),
        ("a=" + "x" * 64, "is not a valid label value"),
        ("(", r"found '\('"),
        ("a===b", "expected"),
    ],
)
def test_what_does_not_parse_says_where(text: str, message: str) -> None:
    """The message names the character, and what was expected or is wrong."""
    with pytest.raises(SelectorError, match=message):
        Selector.parse(text)


@given(st.text(alphabet="ab=!(),<> \tinotin.-/5é\0", max_size=30))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """Nothing but SelectorError comes out."""
    with suppress(SelectorError):
        Selector.parse(text).matches(ENV)


KEYS = st.sampled_from(["a", "b", "in", "x.y/z"])
VALUES = st.sets(st.sampled_from(["", "v", "w-1", "in"]), min_size=1)


@given(st.lists(st.tuples(KEYS, st.sampled_from(["in", "notin", "exists", "absent"]), VALUES), max_size=4))
def test_what_is_written_is_what_is_parsed(parts: list[tuple[str, str, set[str]]]) -> None:
    """Requirements come back in order."""
    written, expected = [], []
    for key, operator, values in parts:
        if operator == "exists":
            written.append(key)
        elif operator == "absent":
            written.append(f"!{key}")
        else:
            written.append(f"{key} {operator} ({','.join(sorted(values))})")
        kept = frozenset(values) if operator in {"in", "notin"} else frozenset[str]()
        expected.append((key, operator, kept))
    found = Selector.parse(",".join(written)).requirements
    assert [(r.key, r.operator, r.values) for r in found] == expected
    assert all(isinstance(r, Requirement) for r in found)
