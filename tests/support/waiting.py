"""Waiting for something that real processes do in their own time."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Until it holds. Raises AssertionError when it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
