"""Ours without the server: every command through the run protocol, claimed, detached, its output collected."""

import asyncio
import gc
import itertools
import os
from pathlib import Path

from hack.bench.ssh.bare import idled, main
from hack.bench.ssh.work import Job, Result, Target, metered, resident, timed
from transports.base import Credential, Endpoint, HostKeyPolicy, RunId, RunState, Session, StartRequest
from transports.ssh.transport import SSHTransport


def endpoint(asked: Job, target: Target) -> Endpoint:
    return Endpoint(
        node=str(target.port),
        address=target.address,
        port=target.port,
        user=target.user,
        credential=Credential(private_key=Path(target.key).read_bytes()),
        host_key_policy=HostKeyPolicy.STRICT,
        host_keys=(target.host_key,),
        connect_timeout=60,
        base_dir=asked.base,
    )


async def echo(session: Session, token: str) -> None:
    request = StartRequest(run=RunId(os.urandom(16).hex() + ".1"), script=f"echo {token}".encode())
    status = await session.start(request, wait=60)
    assert (status.state, status.exit_code) == (RunState.DONE, 0), status
    assert status.inline == (f"{token}\n".encode(), b""), status


async def rate(asked: Job) -> Result:
    """As many as go, `width` in flight on each of the open sessions."""
    transport = SSHTransport()
    sessions = [await transport.connect(endpoint(asked, t)) for t in asked.targets]
    await asyncio.gather(*(echo(s, "warm") for s in sessions))

    async def lane(session: Session, tokens: list[str]) -> None:
        for token in tokens:
            await echo(session, token)

    lanes = [(s, asked.tokens[i :: asked.width]) for s in sessions for i in range(asked.width)]
    result = Result(label=sessions[0].info.runner)
    with metered(result, asked.count * len(sessions)):
        await asyncio.gather(*itertools.starmap(lane, lanes))
    await asyncio.gather(*(s.aclose() for s in sessions))
    return result


async def latency(asked: Job) -> Result:
    """One at a time on one node."""
    session = await SSHTransport().connect(endpoint(asked, asked.targets[0]))
    for _ in range(10):
        await echo(session, "warm")
    result = Result(label=session.info.runner)
    with metered(result, asked.count):
        for token in asked.tokens:
            with timed(result.times):
                await echo(session, token)
    await session.aclose()
    return result


async def cold(asked: Job) -> Result:
    """Connect, set up the runner, and one command, on all nodes at once."""
    transport = SSHTransport()
    sessions = []

    async def first(target: Target) -> None:
        session = await transport.connect(endpoint(asked, target))
        await echo(session, "first")
        sessions.append(session)

    result = Result()
    with metered(result, len(asked.targets)):
        await asyncio.gather(*map(first, asked.targets))
    result.label = sessions[0].info.runner
    await asyncio.gather(*(s.aclose() for s in sessions))
    return result


async def idle(asked: Job) -> Result:
    """`count` sessions with each node, runner included, that do nothing but stay."""
    transport = SSHTransport(keepalive_interval=asked.keepalive)
    held = [await transport.connect(endpoint(asked, t)) for t in asked.targets]
    gc.collect()
    before = resident()
    gate = asyncio.Semaphore(32)

    async def hold(target: Target) -> None:
        async with gate:
            held.append(await transport.connect(endpoint(asked, target)))

    await asyncio.gather(*(hold(t) for t in asked.targets for _ in range(asked.count)))
    result = await idled(asked, before)
    result.label = held[0].info.runner
    assert not any(s.closed for s in held)
    await asyncio.gather(*(s.aclose() for s in held))
    return result


if __name__ == "__main__":
    main(rate=rate, latency=latency, cold=cold, idle=idle)
