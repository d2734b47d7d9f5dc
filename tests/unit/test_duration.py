"""Durations are Go's, in and out (contract A-3)."""

import json
from pathlib import Path
from typing import Any

import durationpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.duration import format_duration, parse_duration

TABLE: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "data/durations.json").read_text())


def ours(text: str) -> int | None:
    try:
        return parse_duration(text)
    except ValueError:
        return None


def test_parsing_equals_go() -> None:
    """A-3: every text of the table reads as in Go; negative ones are refused here."""
    rows = TABLE["parse"]
    assert len(rows) > 1000
    wrong = [
        (row["text"], row["nanoseconds"], ours(row["text"]))
        for row in rows
        if ours(row["text"]) != (None if row["text"].startswith("-") else row["nanoseconds"])
    ]
    assert not wrong


def test_formatting_equals_go() -> None:
    """A-3: every number of the table is written as by Go's `Duration.String()`."""
    rows = TABLE["format"]
    assert len(rows) > 500
    assert [(row["nanoseconds"], format_duration(row["nanoseconds"])) for row in rows] == [
        (row["nanoseconds"], row["text"]) for row in rows
    ]


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("100ms", 100_000_000),
        ("1.5s", 1_500_000_000),
        ("2h30m15s", 9_015_000_000_000),
        ("7µs", 7_000),
        ("7μs", 7_000),
        ("1ns", 1),
        ("9007199254740993ns", 9_007_199_254_740_993),
    ],
)
def test_the_named_examples_are_exact(text: str, nanoseconds: int) -> None:
    """A-3: the forms that the contract names, and numbers that a float would round."""
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["-1s", "-0s", "1d", "1w", "1y", "1mm", "5", "", "٣s", "1s" * 40])
def test_what_the_guard_refuses(text: str) -> None:
    """A-3: negative values, `d`, `w`, `y`, foreign digits and endless texts; the message shows how to write it."""
    with pytest.raises(ValueError, match='write it like "30s"'):
        parse_duration(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"), [(65_123_000, "65.123ms"), (0, "0s"), (61_234_567_000, "1m1.234567s")]
)
def test_formatting_is_not_durationpys(nanoseconds: int, text: str) -> None:
    """A-3: the three examples of the contract."""
    assert format_duration(nanoseconds) == text


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_what_is_written_reads_back(nanoseconds: int) -> None:
    """A-3: formatting and parsing are inverse, to the nanosecond."""
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.integers(min_value=0, max_value=10**14))
def test_durationpy_agrees_to_the_microsecond(nanoseconds: int) -> None:
    """A-3: an independent reader sees the same length, as far as it can see."""
    theirs = durationpy.from_str(format_duration(nanoseconds)).total_seconds()
    assert abs(theirs * 1e9 - nanoseconds) <= 1000
