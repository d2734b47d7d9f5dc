"""When the server suspects itself: thresholds, the window, and what does not count."""

from controller.freeze import Freeze
from controller.runtime.clock import SystemClock


class Seconds(SystemClock):
    """A monotonic clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        """The time that was set."""
        return self.at


def fleet(size: int, *, threshold: float = 0.5) -> tuple[Freeze, Seconds]:
    """That many nodes, all of them reachable, and a window of a minute."""
    clock = Seconds()
    freeze = Freeze(threshold=threshold, window=60, clock=clock)
    for i in range(size):
        freeze.note(f"n{i}", reachable=True)
    return freeze, clock


def lose(freeze: Freeze, *numbers: int) -> None:
    """Probes find these nodes gone."""
    for i in numbers:
        freeze.note(f"n{i}", reachable=False)


def frozen(freeze: Freeze) -> bool:
    """What it says now."""
    return freeze.frozen


def test_more_than_the_threshold_freezes_and_exactly_the_threshold_does_not() -> None:
    """Half of ten is not more than half."""
    freeze, _ = fleet(10)
    lose(freeze, *range(5))
    assert not frozen(freeze)
    lose(freeze, 5)
    assert frozen(freeze)


def test_four_nodes_are_too_few_to_draw_conclusions_from() -> None:
    """A fleet of four that is gone is a fleet that is gone."""
    freeze, _ = fleet(4)
    lose(freeze, *range(4))
    assert not frozen(freeze)


def test_nodes_that_left_longer_ago_than_the_window_do_not_count() -> None:
    """One after the other over hours is everyday life; and a freeze ends by itself."""
    freeze, clock = fleet(10)
    for i in range(10):
        lose(freeze, i)
        clock.at += 30
        assert not frozen(freeze)
    freeze, clock = fleet(10)
    lose(freeze, *range(8))
    assert frozen(freeze)
    clock.at += 61
    assert not frozen(freeze)


def test_it_ends_when_enough_are_back_or_deleted() -> None:
    """Seen again, or no longer part of the fleet."""
    freeze, _ = fleet(10)
    lose(freeze, *range(6))
    freeze.note("n0", reachable=True)
    assert not frozen(freeze)
    lose(freeze, 0)
    assert frozen(freeze)
    for i in range(3):
        freeze.forget(f"n{i}")
    assert not frozen(freeze)


def test_a_node_that_was_never_reachable_is_no_loss() -> None:
    """Forty wrong addresses in a manifest freeze nobody, nor does asking them again and again."""
    freeze, clock = fleet(6)
    for _ in range(3):
        for i in range(100, 140):
            freeze.note(f"n{i}", reachable=False)
        clock.at += 1
    assert not frozen(freeze)


def test_a_node_that_stays_away_is_lost_once() -> None:
    """Further failed probes do not renew the loss."""
    freeze, clock = fleet(6)
    lose(freeze, *range(4))
    clock.at += 50
    lose(freeze, *range(4))
    clock.at += 11
    assert not frozen(freeze)
