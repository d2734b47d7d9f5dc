"""Deliver runs through a session and collect them to the last byte."""

import asyncio
import uuid

from transports.base import RunId, RunState, RunStatus, Session, StartRequest


def new_run() -> RunId:
    """A run id that nobody used before."""
    return RunId(f"{uuid.uuid4().hex}.1")


def request(script: str | bytes, **rest: object) -> StartRequest:
    """A run of this script."""
    text = script.encode() if isinstance(script, str) else script
    return StartRequest(run=new_run(), script=text, **rest)  # type: ignore[arg-type]


async def ended(session: Session, run: RunId) -> RunStatus:
    """The status of a run once it is over."""
    while True:
        status = await session.status(run)
        if status.state not in (RunState.RUNNING, RunState.ORPHAN):
            return status
        await asyncio.sleep(0.02)


async def collect(
    session: Session, status: RunStatus, *, stdout: int = 0, stderr: int = 0, limit: int = 1 << 20
) -> tuple[bytes, bytes]:
    """All that is kept of both streams of an ended run, from these offsets on."""
    out, err = bytearray(), bytearray()
    while stdout + len(out) < status.stdout.kept or stderr + len(err) < status.stderr.kept:
        piece = await session.read(status.run, stdout=stdout + len(out), stderr=stderr + len(err), limit=limit)
        assert piece.stdout or piece.stderr, "the node promised more than it gave"
        out += piece.stdout
        err += piece.stderr
    return bytes(out), bytes(err)


async def run(session: Session, script: str | bytes, **rest: object) -> tuple[RunStatus, bytes, bytes]:
    """Deliver a script, wait for its end and collect what it wrote."""
    asked = request(script, **rest)
    await session.start(asked, wait=30)
    status = await ended(session, asked.run)
    return status, *(await collect(session, status))
