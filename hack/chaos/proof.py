"""What every proof does: keep company, wait for the ends, record the last word, have the evidence judged."""

import asyncio
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hack.chaos import witness
from hack.chaos.client import ENDED, Client
from hack.chaos.journal import Journal
from hack.chaos.machine import Machine
from hack.chaos.orders import Order

PATIENCE = 8.0
"""Seconds that a sender waits for the end of its command before it sends the next."""
SETTLE = 150.0
"""Seconds without any new end, once the troubles are over, after which what has none is lost."""


@asynccontextmanager
async def company(work: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run beside the block, end with it; an error in any of them ends it all."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        yield
        for task in tasks:
            task.cancel()


async def await_end(client: Client, order: Order, rng: random.Random) -> bool:
    """Look until it has ended, or for long enough; cancel it when its time has come. Whether it was cancelled."""
    began, cancelled = time.monotonic(), False
    while (gone := time.monotonic() - began) < PATIENCE:
        if order.cancel_after is not None and gone >= order.cancel_after and not cancelled:
            await client.cancel(order.id)
            cancelled = True
        if await client.look(order.id) in ENDED:
            break
        await asyncio.sleep(rng.uniform(0.1, 0.5))
    return cancelled


async def settle(client: Client, progress: Callable[[], str]) -> None:
    """Wait until every acknowledged command has an end, and a little longer for late truths."""
    fewest, deadline = len(client.history) + 1, 0.0
    while open_ := witness.unfinished(client):
        if len(open_) < fewest:
            fewest, deadline = len(open_), time.monotonic() + SETTLE
        if time.monotonic() > deadline:
            break
        print(f"{progress()}, {len(open_)} open", flush=True)
        for id_ in open_:
            await client.look(id_)
        await asyncio.sleep(3)
    await asyncio.sleep(3)


async def record(client: Client) -> None:
    """The last word on every command."""
    slots = asyncio.Semaphore(8)

    async def one(id_: str) -> None:
        async with slots:
            await client.record(id_)

    await asyncio.gather(*(one(id_) for id_ in list(client.history)))


def gather(machines: Iterable[Machine], journal: Journal) -> None:
    """Put what the nodes hold beside what was said, so that the evidence is whole."""
    for machine in machines:
        truth, copies = f"truth-{machine.name}", f"copies-{machine.name}"
        machine.truth.touch()
        shutil.copy(machine.truth, journal.folder / truth)
        shutil.copytree(machine.copies, journal.folder / copies)
        journal.note("node", truth=truth, copies=copies)


async def judge(evidence: Path) -> dict[str, Any]:
    """The checker's verdict."""
    checker = Path(__file__).with_name("checker.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", checker, evidence, stdout=asyncio.subprocess.PIPE
    )
    verdict, _ = await process.communicate()
    parsed: dict[str, Any] = json.loads(verdict)
    return parsed


def show_broken(verdict: Mapping[str, Any]) -> bool:
    """Print what breaks each rule, if anything does."""
    broken = {rule: found for rule, found in verdict["broken"].items() if found}
    for rule, found in broken.items():
        print(f"\n{rule}:", *found[:20], sep="\n  ")
    return bool(broken)


def put_away(folder: Path, keep: Path | None) -> None:
    """Keep the evidence where somebody wants it, and remove everything."""
    if keep is not None:
        heavy = shutil.ignore_patterns("*.o", "*.e", "vendetta.db*", "bin")
        shutil.copytree(folder, keep, ignore=heavy, dirs_exist_ok=True)
    mounts = [*folder.glob("*/home/.vendetta"), folder / "server"]
    subprocess.run(["umount", "--lazy", *mounts], stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(folder)
