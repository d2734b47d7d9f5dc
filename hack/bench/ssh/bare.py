"""Bare asyncssh: the floor under everything that speaks SSH from Python. Stores nothing, promises nothing."""

import asyncio
import gc
import itertools
from collections.abc import Awaitable, Callable

import asyncssh
import uvloop

from hack.bench.ssh.work import Job, Result, Target, cpu, done, job, metered, resident, timed

FAST = {"encryption_algs": ["aes128-gcm@openssh.com"]}


async def connect(target: Target, **options: object) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        target.address,
        target.port,
        username=target.user,
        client_keys=[target.key],
        known_hosts=([asyncssh.import_public_key(target.host_key)], [], []),
        config=None,
        agent_path=None,
        **options,
    )


async def echo(connection: asyncssh.SSHClientConnection, token: str) -> None:
    ran = await connection.run(f"echo {token}", encoding=None)
    assert (ran.exit_status, ran.stdout) == (0, f"{token}\n".encode()), ran


async def rate(asked: Job) -> Result:
    """As many as go, `width` in flight on each of the open connections."""
    connections = [await connect(t, **FAST) for t in asked.targets]
    await asyncio.gather(*(echo(c, "warm") for c in connections))

    async def lane(connection: asyncssh.SSHClientConnection, tokens: list[str]) -> None:
        for token in tokens:
            await echo(connection, token)

    lanes = [(c, asked.tokens[i :: asked.width]) for c in connections for i in range(asked.width)]
    result = Result()
    with metered(result, asked.count * len(connections)):
        await asyncio.gather(*itertools.starmap(lane, lanes))
    return result


async def latency(asked: Job) -> Result:
    """One at a time on one node."""
    connection = await connect(asked.targets[0], **FAST)
    for _ in range(10):
        await echo(connection, "warm")
    result = Result()
    with metered(result, asked.count):
        for token in asked.tokens:
            with timed(result.times):
                await echo(connection, token)
    return result


async def cold(asked: Job) -> Result:
    """Connect as the library does by default, and one command, on all nodes at once."""

    async def first(target: Target) -> None:
        await echo(await connect(target), "first")

    result = Result()
    with metered(result, len(asked.targets)):
        await asyncio.gather(*map(first, asked.targets))
    return result


async def idle(asked: Job) -> Result:
    """`count` connections to each node that do nothing but stay."""
    held = [await connect(t, **FAST) for t in asked.targets]  # what the first ones cost is the library's own
    gc.collect()
    before = resident()
    gate = asyncio.Semaphore(32)

    async def hold(target: Target) -> None:
        async with gate:
            held.append(await connect(target, keepalive_interval=asked.keepalive, **FAST))

    await asyncio.gather(*(hold(t) for t in asked.targets for _ in range(asked.count)))
    return await idled(asked, before)


async def idled(asked: Job, before: float) -> Result:
    """What holding costs: memory for each, then CPU over `seconds`."""
    gc.collect()
    many = asked.count * len(asked.targets)
    result = Result(kib_each=(resident() - before) / many)
    await asyncio.sleep(min(asked.keepalive, asked.seconds))  # what connecting left to do is not keeping
    used = cpu()
    await asyncio.sleep(asked.seconds)
    result.count, result.seconds, result.cpu = many, asked.seconds, cpu() - used
    return result


def main(**jobs: Callable[[Job], Awaitable[Result]]) -> None:
    asked = job()

    async def work() -> None:
        done(await jobs[asked.what](asked))

    uvloop.run(work())


if __name__ == "__main__":
    main(rate=rate, latency=latency, cold=cold, idle=idle)
