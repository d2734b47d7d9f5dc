"""Waiting for the store, for output, or for the server to stop: whichever comes first, and no polling."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from controller.resources.command import Command
from controller.store.base import Expired, Store


async def first_of(*waits: Coroutine[Any, Any, Any], timeout: float) -> None:
    """Return when one of them has finished or the time is up; the others are cancelled. Raises what it raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def until_ended(store: Store, command: Command, seconds: float, stopping: asyncio.Event) -> Command:
    """The command once it has ended, or as it is when the time is up or the server stops.

    A command that is removed meanwhile is returned as it was last seen.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not command.ended and not stopping.is_set() and (left := deadline - loop.time()) > 0:
        try:
            async with store.watch(frozenset({"Command"}), name=command.name, since=store.revision()) as watch:
                now = store.get("Command", command.name)
                if not isinstance(now, Command) or now.uid != command.uid:
                    return command
                command = now
                if not command.ended:
                    await first_of(watch.batch(1), stopping.wait(), timeout=left)
        except Expired:
            continue
    now = store.get("Command", command.name)
    return now if isinstance(now, Command) and now.uid == command.uid else command
