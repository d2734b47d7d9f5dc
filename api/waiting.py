"""Waiting for the store, for output, or for the server to stop: whichever comes first, and no polling."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from api.stopping import Stopping
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


async def until_ended(store: Store, command: Command, seconds: float, stopping: Stopping) -> Command:
    """The command once it has ended, or as it is when the time is up or the server stops.

    A command that is removed meanwhile is returned as it was last seen.
    """
    with suppress(TimeoutError):
        async with stopping.within(seconds):
            while not command.ended:
                with suppress(Expired):
                    return await _ended(store, command)
    now = store.get("Command", command.name)
    return now if isinstance(now, Command) and now.uid == command.uid else command


async def _ended(store: Store, command: Command) -> Command:
    """The command once it has ended or is gone. Raises Expired when that cannot be followed any further."""
    async with store.watch(frozenset({"Command"}), name=command.name, since=store.revision()) as watch:
        now = store.get("Command", command.name)
        while isinstance(now, Command) and now.uid == command.uid:
            command = now
            if command.ended:
                break
            await watch.batch(1)
            now = store.get("Command", command.name)
    return command
