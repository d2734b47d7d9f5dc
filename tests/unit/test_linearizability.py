"""The checker finds what is wrong, and nothing that is not: a register that several clients write and read."""

import itertools
import random

import pytest

from tests.support.linearizability import Call, Impossible, order_of


def register(state: str, call: Call) -> str:
    if call.what.startswith("write "):
        return call.what.removeprefix("write ")
    if call.answer != state:
        raise Impossible
    return state


def write(begun: int, ended: int, value: str) -> Call:
    return Call(begun, ended, f"write {value}", None)


def read(begun: int, ended: int, value: str) -> Call:
    return Call(begun, ended, "read", value)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [write(1, 2, "a"), read(3, 4, "a")],
        [write(1, 4, "a"), read(2, 3, "")],
        [write(1, 4, "a"), read(2, 3, "a")],
        [write(1, 9, "a"), write(2, 8, "b"), read(3, 4, "b"), read(5, 6, "a")],
        [write(1, 3, "a"), write(2, 5, "b"), read(4, 7, "a"), read(6, 8, "b")],
    ],
)
def test_what_can_be_is_explained(history: list[Call]) -> None:
    order = order_of(history, "", register)
    assert order is not None
    assert sorted(order, key=lambda call: call.begun) == history
    for earlier, later in itertools.combinations(order, 2):
        assert later.ended > earlier.begun


@pytest.mark.parametrize(
    "history",
    [
        [write(1, 2, "a"), read(3, 4, "")],  # a stale read
        [write(1, 2, "a"), read(3, 4, "b")],  # out of the blue
        [write(1, 8, "a"), read(2, 3, "a"), read(4, 5, "")],  # and back again
        [write(1, 2, "a"), write(3, 4, "b"), read(5, 6, "a")],  # a lost write
        [write(1, 9, "a"), write(2, 9, "b"), read(3, 4, "b"), read(5, 6, "a"), read(7, 8, "b")],
    ],
)
def test_what_cannot_be_is_not(history: list[Call]) -> None:
    assert order_of(history, "", register) is None


def test_a_long_history_is_searched_in_good_time() -> None:
    """Eight clients at once, each situation once: without that the search would take longer than anybody lives."""
    rng, calls, state, clock = random.Random(1), list[Call](), "", itertools.count()
    for _ in range(12):
        begun = [next(clock) for _ in range(8)]
        for begin in begun:
            what = rng.choice(["read", f"write {rng.randrange(9)}"])
            calls.append(Call(begin, next(clock), what, state if what == "read" else None))
            state = register(state, calls[-1])
    assert order_of(calls, "", register) is not None
    assert order_of([*calls, read(next(clock), next(clock), "never")], "", register) is None
