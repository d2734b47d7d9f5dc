"""Failpoints: named places between two persisted steps, where a test may end the process.

`VENDETTA_FAILPOINT=name` (or `name:3` for the third passage) makes the process end there as by SIGKILL. Without it a
failpoint costs one call.
"""

import os
import signal
from collections.abc import Callable, Mapping

Failpoint = Callable[[str], None]


def inert(name: str) -> None:
    """Pass every failpoint."""


def from_environment(environment: Mapping[str, str]) -> Failpoint:
    """The failpoint function that the environment asks for."""
    wanted = environment.get("VENDETTA_FAILPOINT", "")
    if not wanted:
        return inert
    target, _, count = wanted.partition(":")
    left = int(count or 1)

    def die_there(name: str) -> None:
        nonlocal left
        if name == target:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return die_there
