"""`hack/chaos.sh`: make trouble for some minutes, let everything heal, judge."""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from hack.chaos import kinds, report, witness
from hack.chaos.client import ENDED
from hack.chaos.coordinator import FAKETIME
from hack.chaos.machine import Machine
from hack.chaos.orders import Order, make
from hack.chaos.world import World, build

SENDERS = 24
PATIENCE = 8.0
"""Seconds that a sender waits for the end of its command before it sends the next."""
SETTLE = 150.0
"""Seconds without any new end, once the troubles are over, after which what has none is lost."""


def main() -> int:
    """Exit code 0 only when no rule is broken."""
    parser = argparse.ArgumentParser(prog="hack/chaos.sh", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--keep", type=Path, help="an empty folder for the evidence, which otherwise goes")
    arguments = parser.parse_args()
    if FAKETIME is None:
        print("libfaketime is not installed: the server's clock will not jump")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        return asyncio.run(_prove(folder, arguments.minutes * 60, arguments.seed, arguments.nodes))
    finally:
        _put_away(folder, arguments.keep)


def _put_away(folder: Path, keep: Path | None) -> None:
    if keep is not None:
        heavy = shutil.ignore_patterns("*.o", "*.e", "vendetta.db*", "bin")
        shutil.copytree(folder, keep, ignore=heavy, dirs_exist_ok=True)
    mounts = [*folder.glob("*/home/.vendetta"), folder / "server"]
    subprocess.run(["umount", "--lazy", *mounts], stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(folder)


async def _prove(folder: Path, seconds: float, seed: int, nodes: int) -> int:
    print(f"seed {seed}, {nodes} nodes, {seconds:.0f} s of trouble, in {folder}", flush=True)
    async with build(folder, seed=seed, machines=nodes) as world:
        began = time.monotonic()
        async with _company(_keepers(world)):
            await _make_trouble(world, seconds, seed, began)
            kinds.heal(world)
            await _settle(world, began)
            await _record(world)
        _gather(world)
        verdict = await _judge(folder / "evidence")
        print(report.table(world, verdict, seed=seed, seconds=seconds), flush=True)
    broken = {rule: found for rule, found in verdict["broken"].items() if found}
    for rule, found in broken.items():
        print(f"\n{rule}:", *found[:20], sep="\n  ")
    incomplete = FAKETIME is None and os.environ.get("CI") == "true"
    return 1 if broken or incomplete else 0


def _keepers(world: World) -> list[Any]:
    return [
        world.coordinator.keep(),
        world.rival.probe(),
        witness.follow_events(world.client),
        witness.look_again(world.client, random.Random(0)),
    ]


@asynccontextmanager
async def _company(work: list[Any]) -> AsyncIterator[None]:
    """Run beside the block, end with it; an error in any of them ends it all."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        yield
        for task in tasks:
            task.cancel()


async def _make_trouble(world: World, seconds: float, seed: int, began: float) -> None:
    numbers, until = count(1), began + seconds
    makers = [kinds.kill_servers(world, pause=0.3), kinds.trouble(world, pause=1.5), kinds.trouble(world, pause=1.5)]
    async with _company([*makers, _progress(world, began)]):
        senders = [
            asyncio.create_task(_sender(world, random.Random(seed * SENDERS + i), numbers, until))
            for i in range(SENDERS)
        ]
        done, unanswered = await asyncio.wait(senders, timeout=seconds + PATIENCE)
        for sender in unanswered:
            sender.cancel()
        await asyncio.gather(*done)


async def _sender(world: World, rng: random.Random, numbers: "count[int]", until: float) -> None:
    while time.monotonic() < until:
        order, machine = make(f"c{next(numbers)}", rng), rng.choice(world.machines)
        await world.client.send(order, machine.name)
        await _complicate(world, rng, order, machine)
        await _await_end(world, order, rng)


async def _complicate(world: World, rng: random.Random, order: Order, machine: Machine) -> None:
    """Deliver some of them a second time: to the API, and to the node."""
    if rng.random() < 0.1:
        await asyncio.gather(world.client.post(order, machine.name), world.client.post(order, machine.name))
        world.count("requests repeated", 2)
    if rng.random() < 0.1:
        world.count("runs delivered by a rival", await world.rival.deliver(order, machine))


async def _await_end(world: World, order: Order, rng: random.Random) -> None:
    began = time.monotonic()
    while (gone := time.monotonic() - began) < PATIENCE:
        if order.cancel_after is not None and gone >= order.cancel_after:
            await world.client.cancel(order.id)
            world.count("cancels")
            order = Order(id=order.id, sort=order.sort, action=order.action)
        if await world.client.look(order.id) in ENDED:
            return
        await asyncio.sleep(rng.uniform(0.1, 0.5))


async def _progress(world: World, began: float) -> None:
    while True:
        await asyncio.sleep(10)
        print(report.progress(world, time.monotonic() - began), flush=True)


async def _settle(world: World, began: float) -> None:
    """Wait until every acknowledged command has an end, and a little longer for late truths."""
    fewest, deadline = len(world.client.history) + 1, 0.0
    while open_ := witness.unfinished(world.client):
        if len(open_) < fewest:
            fewest, deadline = len(open_), time.monotonic() + SETTLE
        if time.monotonic() > deadline:
            break
        print(f"{report.progress(world, time.monotonic() - began)}, {len(open_)} open", flush=True)
        for id_ in open_:
            await world.client.look(id_)
        await asyncio.sleep(3)
    await asyncio.sleep(3)


async def _record(world: World) -> None:
    """The last word, of a server that was killed once more."""
    world.coordinator.kill()
    await asyncio.sleep(0.5)
    if not await world.coordinator.is_ready():
        raise RuntimeError(world.coordinator.server.log.read_text(errors="replace")[-2000:])
    slots = asyncio.Semaphore(8)

    async def record(id_: str) -> None:
        async with slots:
            await world.client.record(id_)

    await asyncio.gather(*(record(id_) for id_ in list(world.client.history)))


def _gather(world: World) -> None:
    """Put what the nodes hold beside what was said, so that the evidence is whole."""
    for machine in world.machines:
        truth, copies = f"truth-{machine.name}", f"copies-{machine.name}"
        machine.truth.touch()
        shutil.copy(machine.truth, world.journal.folder / truth)
        shutil.copytree(machine.copies, world.journal.folder / copies)
        world.journal.note("node", truth=truth, copies=copies)


async def _judge(evidence: Path) -> dict[str, Any]:
    checker = Path(__file__).with_name("checker.py")
    judge = await asyncio.create_subprocess_exec(
        sys.executable, "-I", checker, evidence, stdout=asyncio.subprocess.PIPE
    )
    verdict, _ = await judge.communicate()
    parsed: dict[str, Any] = json.loads(verdict)
    return parsed


if __name__ == "__main__":
    sys.exit(main())
