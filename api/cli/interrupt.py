"""Ctrl-C: ends a watch for sure, and during `exec` asks once whether to cancel what runs remotely (contract F-4)."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

AGAIN: Final = 0.5


class Interrupts:
    """Counts SIGINT instead of dying of it."""

    def __init__(self) -> None:
        self._more = asyncio.Event()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """While inside, SIGINT is counted."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._more.set)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    async def next(self) -> None:
        """Return at the next SIGINT."""
        await self._more.wait()
        self._more.clear()


@contextmanager
def insistent() -> Iterator[None]:
    """While inside, a Ctrl-C comes again twice a second until it gets through.

    Python drops a KeyboardInterrupt that happens to be raised in a finalizer or a callback.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt), signal.signal(signal.SIGALRM, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGALRM, before[1])


async def wants_to_cancel(question: str, interrupts: Interrupts) -> bool:
    """Ask on the terminal. Another Ctrl-C is a yes, and so is having no terminal: there is nobody to ask."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        os.write(terminal, f"\n{question} [Y/n] ".encode())
        return await _yes(terminal, interrupts)
    finally:
        os.close(terminal)


async def _yes(terminal: int, interrupts: Interrupts) -> bool:
    loop = asyncio.get_running_loop()
    answered = asyncio.Event()
    loop.add_reader(terminal, answered.set)
    waits = [asyncio.create_task(answered.wait()), asyncio.create_task(interrupts.next())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not answered.is_set():
            return True
        return not os.read(terminal, 1024).strip().lower().startswith(b"n")
    finally:
        loop.remove_reader(terminal)
        for wait in waits:
            wait.cancel()
