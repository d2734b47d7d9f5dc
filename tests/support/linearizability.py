"""Whether what several clients saw of one object could have happened one call after another.

Wing and Gong's search ("Testing and Verifying Concurrent Objects", JPDC 1993) for an order of the calls in which none
comes before one that had ended before it began, and in which a model answers each as it was answered. Situations that
were reached before, by the same calls in another order, are not searched again (Lowe, 2017).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Call:
    """One call and what came of it. `begun` and `ended` are readings of one clock that never reads the same twice."""

    begun: int
    ended: int
    what: str
    answer: Hashable


class Impossible(Exception):
    """The object in this state does not answer so."""


Step = Callable[[State, Call], State]
"""The model: the state after the call, or Impossible."""


def order_of(history: Sequence[Call], initial: State, step: Step[State]) -> Sequence[Call] | None:
    """An order that explains the history; None when there is none."""
    calls = sorted(history, key=lambda call: call.begun)
    everything = frozenset(range(len(calls)))
    dead: set[tuple[frozenset[int], State]] = set()

    def search(left: frozenset[int], state: State) -> list[int] | None:
        if not left:
            return []
        if (left, state) in dead:
            return None
        first_end = min(calls[n].ended for n in left)
        for n in sorted(left):
            if calls[n].begun > first_end:
                break
            try:
                after = step(state, calls[n])
            except Impossible:
                continue
            rest = search(left - {n}, after)
            if rest is not None:
                return [n, *rest]
        dead.add((left, state))
        return None

    found = search(everything, initial)
    return None if found is None else [calls[n] for n in found]
