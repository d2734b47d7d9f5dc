"""`hack/chaos.sh`: make trouble for some minutes, let everything heal, judge."""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

from hack.chaos import kinds, report, witness
from hack.chaos.coordinator import FAKETIME
from hack.chaos.machine import Machine
from hack.chaos.orders import Order, make
from hack.chaos.proof import PATIENCE, await_end, company, gather, judge, put_away, record, settle, show_broken
from hack.chaos.world import World, build

SENDERS = 24


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
        put_away(folder, arguments.keep)


async def _prove(folder: Path, seconds: float, seed: int, nodes: int) -> int:
    print(f"seed {seed}, {nodes} nodes, {seconds:.0f} s of trouble, in {folder}", flush=True)
    async with build(folder, seed=seed, machines=nodes) as world:
        began = time.monotonic()
        async with company(_keepers(world)):
            await _make_trouble(world, seconds, seed, began)
            kinds.heal(world)
            await settle(world.client, lambda: report.progress(world, time.monotonic() - began))
            await _record(world)
        gather(world.machines, world.journal)
        verdict = await judge(world.journal.folder)
        print(report.table(world, verdict, seed=seed, seconds=seconds), flush=True)
    broken = show_broken(verdict)
    incomplete = FAKETIME is None and os.environ.get("CI") == "true"
    return 1 if broken or incomplete else 0


def _keepers(world: World) -> list[Any]:
    return [
        world.coordinator.keep(),
        world.rival.probe(),
        witness.Audience(world.client).follow(),
        witness.look_again(world.client, random.Random(0)),
    ]


async def _make_trouble(world: World, seconds: float, seed: int, began: float) -> None:
    numbers, until = count(1), began + seconds
    makers = [kinds.kill_servers(world, pause=0.3), kinds.trouble(world, pause=1.5), kinds.trouble(world, pause=1.5)]
    async with company([*makers, _progress(world, began)]):
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
        if await await_end(world.client, order, rng):
            world.count("cancels")


async def _complicate(world: World, rng: random.Random, order: Order, machine: Machine) -> None:
    """Deliver some of them a second time: to the API, and to the node."""
    if rng.random() < 0.1:
        await asyncio.gather(world.client.post(order, machine.name), world.client.post(order, machine.name))
        world.count("requests repeated", 2)
    if rng.random() < 0.1:
        world.count("runs delivered by a rival", await world.rival.deliver(order, machine))


async def _progress(world: World, began: float) -> None:
    while True:
        await asyncio.sleep(10)
        print(report.progress(world, time.monotonic() - began), flush=True)


async def _record(world: World) -> None:
    """The last word, of a server that was killed once more."""
    world.coordinator.kill()
    await asyncio.sleep(0.5)
    if not await world.coordinator.is_ready():
        raise RuntimeError(world.coordinator.server.log.read_text(errors="replace")[-2000:])
    await record(world.client)


if __name__ == "__main__":
    sys.exit(main())
