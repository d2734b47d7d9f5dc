"""A Ctrl-C that Python dropped comes again."""

import os
import signal
import time
from types import FrameType

import pytest

from api.cli import interrupt
from api.cli.interrupt import insistent


class Finalized:
    """Interrupts while it is being finalized, where an exception goes nowhere."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)


def finalize_and_go_on() -> None:
    """The interrupt comes too early to be heard."""
    with insistent():
        del [Finalized()][0]
        time.sleep(5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_was_dropped_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "AGAIN", 0.05)
    with pytest.raises(KeyboardInterrupt):
        finalize_and_go_on()
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_afterwards_everything_is_as_it_was() -> None:
    def mine(_number: int, _frame: FrameType | None) -> None:
        """Nothing."""

    before = signal.signal(signal.SIGINT, mine)
    try:
        with insistent():
            assert signal.getsignal(signal.SIGINT) is not mine
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
