"""How fast the store is, as ratios within one interleaved run.

    python hack/bench/store.py [--seconds 1.0] [--rounds 5] [--dir DIRECTORY] [--flush MILLISECONDS]

Durable writes a second at 1, 16 and 64 waiters against one commit each: the same rows of the same objects, encoded
beforehand, each in a transaction of its own on a plain connection. Reads against the plainest thing that could be
done instead. The directory decides which disk is measured. `--flush` makes every commit, of either side, take longer
by so much: a virtual disk may acknowledge a flush in 0.1 ms, an ordinary SSD needs 1 to 5, and sharing commits is for
those.
"""

import argparse
import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from controller.resources.command import Command, CommandSpec
from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec
from controller.resources.scheme import encode
from controller.runtime.clock import SystemClock
from controller.store.base import Append, Create, Store, Update
from controller.store.open import open_store

Bench = Callable[[float], Awaitable[float]]


def node(name: str) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, labels={"env": "dev", "zone": "a"}),
        spec=NodeSpec(address="10.0.0.1", port=22, provider="ssh", capabilities={"cpu": 4, "gpu": False}),
    )


def one_commit_each(directory: Path, flush: float) -> Bench:
    """Rows as the store writes them, one transaction each."""
    connection = sqlite3.connect(directory / "plain", isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE history (revision INTEGER PRIMARY KEY, type, kind, name, at, announce, schema, body);"
        "CREATE TABLE objects (kind, name, schema, body, PRIMARY KEY (kind, name));"
    )
    body = encode(node("n0"))
    count = 0

    async def run(seconds: float) -> float:
        nonlocal count
        began, first = time.perf_counter(), count
        while time.perf_counter() - began < seconds:
            count += 1
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT INTO history VALUES (?, 'ADDED', 'Node', ?, 0, NULL, 1, ?)", (count, f"n{count % 64}", body)
            )
            connection.execute("REPLACE INTO objects VALUES ('Node', ?, 1, ?)", (f"n{count % 64}", body))
            if flush:
                time.sleep(flush)  # noqa: ASYNC251 - nobody else is to run
            connection.execute("COMMIT")
        return (count - first) / (time.perf_counter() - began)

    return run


def bytes_to_disk(directory: Path) -> Bench:
    """The disk's own floor: 4 KiB appended and synced."""
    file = os.open(directory / "floor", os.O_WRONLY | os.O_CREAT)

    async def run(seconds: float) -> float:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            os.write(file, bytes(4096))
            os.fdatasync(file)
            count += 1
        return count / (time.perf_counter() - began)

    return run


def with_waiters(count: int, step: Callable[[int], Awaitable[None]]) -> Bench:
    """So many tasks, each waiting for its write before the next."""

    async def run(seconds: float) -> float:
        done, began = 0, time.perf_counter()

        async def waiter(me: int) -> None:
            nonlocal done
            while time.perf_counter() - began < seconds:
                await step(me)
                done += 1

        await asyncio.gather(*(waiter(me) for me in range(count)))
        return done / (time.perf_counter() - began)

    return run


def creating(store: Store, prefix: str) -> Callable[[int], Awaitable[None]]:
    names = iter(range(10**9))

    async def step(_: int) -> None:
        await store.write(Create(obj=node(f"{prefix}{next(names)}")))

    return step


async def updating(store: Store) -> Callable[[int], Awaitable[None]]:
    """A status update, as reconcilers make them."""
    commands = list(
        await store.write(
            *(
                Create(obj=Command(metadata=ObjectMeta(name=f"u{n}"), spec=CommandSpec(node="n", action="true")))
                for n in range(64)
            )
        )
    )

    async def step(me: int) -> None:
        command = commands[me]
        assert isinstance(command, Command)
        status = command.status.model_copy(update={"attempts": command.status.attempts + 1})
        (commands[me],) = await store.write(Update(obj=command.model_copy(update={"status": status})))

    return step


async def appending(store: Store) -> Callable[[int], Awaitable[None]]:
    """200 bytes of output."""
    commands = await store.write(
        *(
            Create(obj=Command(metadata=ObjectMeta(name=f"a{n}"), spec=CommandSpec(node="n", action="true")))
            for n in range(64)
        )
    )
    offsets, now, data = [0] * 64, SystemClock().now(), bytes(200)

    async def step(me: int) -> None:
        command = commands[me]
        assert command is not None
        await store.write(Append(command_uid=command.uid, stream="stdout", offset=offsets[me], data=data, at=now))
        offsets[me] += len(data)

    return step


async def writes(directory: Path, seconds: float, rounds: int, flush: float) -> None:
    def slow_disk(name: str) -> None:
        if flush and name == "store.before-commit":
            time.sleep(flush)

    store = open_store("sqlite", str(directory / "db"), clock=SystemClock(), failpoint=slow_disk)
    await store.start()
    update, append = await updating(store), await appending(store)
    benches: dict[str, Bench] = {
        "4 KiB + fdatasync": bytes_to_disk(directory),
        "one commit each, encoded before": one_commit_each(directory, flush),
        **{f"create, {n:2} waiters": with_waiters(n, creating(store, f"c{n}-")) for n in (1, 16, 64)},
        **{f"update, {n:2} waiters": with_waiters(n, update) for n in (1, 16, 64)},
        **{f"append, {n:2} waiters": with_waiters(n, append) for n in (1, 16, 64)},
    }
    rates: dict[str, list[float]] = {name: [] for name in benches}
    for _ in range(rounds):
        for name, bench in benches.items():
            rates[name].append(await bench(seconds))
    await store.aclose()
    memory = open_store("memory", clock=SystemClock())
    await memory.start()
    ceiling = await with_waiters(64, creating(memory, "m"))(seconds)
    base = statistics.median(rates["one commit each, encoded before"])
    print(f"{'durable writes':36} {'per second':>12} {'ratio to one commit each':>26}")
    for name, found in rates.items():
        rate = statistics.median(found)
        print(f"{name:36} {rate:12,.0f} {rate / base:25.2f}x")
    print(f"{'(memory store, 64 waiters)':36} {ceiling:12,.0f} {ceiling / base:25.2f}x")


def timed(run: Callable[[], object], seconds: float) -> float:
    """Microseconds a call."""
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        run()
        count += 1
    return (time.perf_counter() - began) / count * 1e6


async def reads(seconds: float) -> None:
    store = open_store("memory", clock=SystemClock())
    await store.start()
    await store.write(*(Create(obj=node(f"n{n:04}")) for n in range(1000)))
    plain = {obj.name: obj for obj in store.list("Node").items}
    print(f"\n{'reads':36} {'microseconds':>12} {'ratio to plain Python':>26}")
    for name, run, instead in (
        ("get", lambda: store.get("Node", "n0500"), lambda: plain.get("n0500")),
        ("list of 1,000", lambda: store.list("Node"), lambda: [plain[n] for n in sorted(plain)]),
        (
            "page of 100 in 1,000",
            lambda: store.list("Node", limit=100),
            lambda: [plain[n] for n in sorted(plain)][:100],
        ),
    ):
        took, base = timed(run, seconds / 3), timed(instead, seconds / 3)
        print(f"{name:36} {took:12.2f} {took / base:25.2f}x")


async def start(directory: Path) -> None:
    path = str(directory / "many")
    store = open_store("sqlite", path, clock=SystemClock())
    await store.start()
    await store.write(*(Create(obj=node(f"n{n}")) for n in range(10_000)))
    await store.aclose()
    store = open_store("sqlite", path, clock=SystemClock())
    began = time.perf_counter()
    await store.start()
    print(f"\nstart with 10,000 objects: {time.perf_counter() - began:.2f} s")
    await store.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", default=None)
    parser.add_argument("--flush", type=float, default=0.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        asyncio.run(writes(Path(directory), options.seconds, options.rounds, options.flush / 1000))
        asyncio.run(reads(options.seconds))
        asyncio.run(start(Path(directory)))


if __name__ == "__main__":
    main()
