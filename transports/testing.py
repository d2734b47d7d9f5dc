"""The contract of a transport as a test suite: what every transport must pass, ours and plugins'.

    class TestMine(TransportContract):
        @pytest.fixture
        async def ground(self): yield MyGround(...)

A `Ground` is a node and the way to it. The suite needs pytest and pytest-asyncio.
"""

import asyncio
import secrets
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pytest

from transports.base import FLEETING, RunId, RunState, RunStatus, Session, StartRequest, StopReason
from transports.errors import Conflict, ConnectionLost, TransportError

OUTPUT = b"".join(b"%d of what was written\n" % i for i in range(20_000))
"""What `WRITES` writes: more than fits into any answer."""


class Ground(Protocol):
    """A node and the way to it. Runs append their id to a file on the node: `executions` counts it there."""

    async def connect(self) -> Session:
        """A new session. The ground closes it in the end."""

    async def executions(self, run: RunId) -> int:
        """How often that run was really executed."""

    async def cut(self) -> None:
        """End all connections between the two, without a word."""


def says(run: RunId) -> bytes:
    """Writes to both streams and ends with 3."""
    return f'echo {run} >>"$HOME/truth"; echo out; echo err >&2; exit 3\n'.encode()


def writes(run: RunId) -> bytes:
    """Writes `OUTPUT`."""
    text = 'i=0; while [ $i -lt 20000 ]; do echo "$i of what was written"; i=$((i+1)); done'
    return f'echo {run} >>"$HOME/truth"; {text}\n'.encode()


def lasts(run: RunId) -> bytes:
    """Writes a line, and another one 1.5 seconds later."""
    return f'echo {run} >>"$HOME/truth"; echo first; sleep 1.5; echo last\n'.encode()


def stays(run: RunId) -> bytes:
    """Does not end before it is ended: neither does its child, which left its process group."""
    return f'echo {run} >>"$HOME/truth"; setsid sleep 60 & sleep 60\n'.encode()


@pytest.mark.asyncio
class TransportContract:
    """Every test gets a `ground` of its own."""

    async def test_a_run_ends_with_its_exit_code_and_its_output(self, ground: Ground) -> None:
        session = await ground.connect()
        asked = request(says)
        await session.start(asked, wait=10)
        status = await ended(session, asked.run)
        assert (status.state, status.stop, status.exit_code) == (RunState.DONE, StopReason.NONE, 3)
        assert await collected(session, status) == (b"out\n", b"err\n")
        assert status.boot_id == session.info.boot_id
        assert await ground.executions(asked.run) == 1

    async def test_a_run_that_is_delivered_many_times_executes_once(self, ground: Ground) -> None:
        first, second = await ground.connect(), await ground.connect()
        asked = request(says)
        answers = await asyncio.gather(*(s.start(asked, wait=10) for s in (first, second, first, second)))
        answers.append(await second.start(asked, wait=10))
        final = await ended(first, asked.run)
        assert {status.run for status in answers} == {asked.run}
        assert (final.state, final.exit_code) == (RunState.DONE, 3)
        assert await ground.executions(asked.run) == 1

    async def test_a_run_id_with_other_contents_is_a_conflict(self, ground: Ground) -> None:
        session = await ground.connect()
        asked = request(says)
        await session.start(asked, wait=10)
        with pytest.raises(Conflict):
            await session.start(replace(asked, script=asked.script + b"true\n"), wait=10)
        assert await ground.executions(asked.run) == 1

    async def test_what_never_came_is_absent(self, ground: Ground) -> None:
        session = await ground.connect()
        assert (await session.status(request(says).run)).state is RunState.ABSENT

    async def test_a_start_that_is_not_waited_for_is_answered_at_the_claim(self, ground: Ground) -> None:
        session = await ground.connect()
        asked = request(lasts)
        status = await session.start(asked)
        assert status.state is RunState.RUNNING
        assert (await ended(session, asked.run)).exit_code == 0

    async def test_large_output_is_read_by_offset(self, ground: Ground) -> None:
        session = await ground.connect()
        asked = request(writes)
        await session.start(asked, wait=10)
        status = await ended(session, asked.run)
        assert await collected(session, status) == (OUTPUT, b"")
        piece = await session.read(asked.run, stdout=1000, stderr=0, limit=500)
        assert piece.stdout == OUTPUT[1000:1500]

    async def test_the_end_of_a_run_is_told(self, ground: Ground) -> None:
        session = await ground.connect()
        told: asyncio.Queue[RunStatus] = asyncio.Queue()
        session.on_end = told.put_nowait
        asked = request(lasts)
        await session.start(asked)
        async with asyncio.timeout(10):
            while (status := await told.get()).run != asked.run:
                pass
        assert status.state is RunState.DONE

    async def test_a_cancel_ends_a_run_and_its_children(self, ground: Ground) -> None:
        session = await ground.connect()
        asked = replace(request(stays), grace=0.5)
        await session.start(asked)
        await session.cancel(asked.run)
        status = await ended(session, asked.run)
        assert (status.state, status.stop, status.kill_confirmed) == (RunState.DONE, StopReason.CANCEL, True)

    async def test_a_cancel_that_is_first_keeps_a_run_from_starting(self, ground: Ground) -> None:
        session = await ground.connect()
        asked = request(says)
        await session.cancel(asked.run)
        assert (await session.start(asked, wait=5)).state is RunState.TOMBSTONE
        assert (await session.status(asked.run)).state is RunState.TOMBSTONE
        assert await ground.executions(asked.run) == 0

    async def test_a_time_limit_is_kept(self, ground: Ground) -> None:
        session = await ground.connect()
        asked = replace(request(stays), timeout=0.5, grace=0.5)
        await session.start(asked)
        status = await ended(session, asked.run)
        assert (status.state, status.stop) == (RunState.DONE, StopReason.TIMEOUT)

    async def test_a_cut_connection_is_told_and_loses_nothing(self, ground: Ground) -> None:
        first = await ground.connect()
        closed: list[bool] = []
        first.on_close = lambda: closed.append(first.closed)
        asked = request(lasts)
        await first.start(asked)
        await ground.cut()
        await over(first)
        assert closed == [True]
        with pytest.raises(ConnectionLost):
            await first.status(asked.run)
        second = await ground.connect()
        status = await ended(second, asked.run)
        assert (status.state, status.exit_code) == (RunState.DONE, 0)
        assert await collected(second, status) == (b"first\nlast\n", b"")
        assert await ground.executions(asked.run) == 1

    async def test_a_start_that_is_cut_off_arrives_once_or_not_at_all(self, ground: Ground) -> None:
        """Whatever the moment of the cut: delivered again, it has run once."""
        for moment in (0.0, 0.002, 0.02):
            session = await ground.connect()
            asked = request(says)
            start = asyncio.create_task(session.start(asked, wait=5))
            await asyncio.sleep(moment)
            await ground.cut()
            (outcome,) = await asyncio.gather(start, return_exceptions=True)
            assert isinstance(outcome, (RunStatus, TransportError)), outcome
            await over(session)
            session = await ground.connect()
            await session.start(asked, wait=10)
            assert (await ended(session, asked.run)).exit_code == 3
            assert await ground.executions(asked.run) == 1

    async def test_what_was_collected_can_be_forgotten_but_not_repeated(self, ground: Ground) -> None:
        session = await ground.connect()
        asked = request(says)
        await session.start(asked, wait=10)
        await ended(session, asked.run)
        await session.gc([asked.run, request(says).run])
        assert (await session.start(asked, wait=5)).state is RunState.DONE
        assert await ground.executions(asked.run) == 1

    async def test_what_is_fleeting_is_forgotten_whole(self, ground: Ground) -> None:
        session = await ground.connect()
        asked = replace(request(says), run=RunId(f"{FLEETING}{secrets.token_hex(10)}.1"))
        await session.start(asked, wait=10)
        await ended(session, asked.run)
        await session.gc([asked.run])
        assert (await session.status(asked.run)).state is RunState.ABSENT

    async def test_a_node_says_what_it_is(self, ground: Ground) -> None:
        session = await ground.connect()
        probe = await session.probe()
        assert probe.boot_id == session.info.boot_id
        assert probe.uptime > 0
        assert probe.facts

    async def test_closing_is_told_once_and_ends_no_run(self, ground: Ground) -> None:
        first = await ground.connect()
        closed: list[bool] = []
        first.on_close = lambda: closed.append(first.closed)
        asked = request(lasts)
        await first.start(asked)
        await asyncio.gather(first.aclose(), first.aclose())
        await first.aclose()
        assert closed == [True]
        with pytest.raises(ConnectionLost):
            await first.probe()
        second = await ground.connect()
        assert (await ended(second, asked.run)).exit_code == 0


def request(script: Callable[[RunId], bytes]) -> StartRequest:
    """A new run of one of the scripts above."""
    run = RunId(f"{uuid.uuid4().hex}.1")
    return StartRequest(run=run, script=script(run))


async def ended(session: Session, run: RunId) -> RunStatus:
    """The status of a run once it is over."""
    async with asyncio.timeout(30):
        while (status := await session.status(run)).state in {RunState.RUNNING, RunState.ORPHAN}:
            await asyncio.sleep(0.02)
    return status


async def over(session: Session) -> None:
    """Wait until a session whose connection was cut has noticed."""
    async with asyncio.timeout(10):
        while not session.closed:
            await asyncio.sleep(0.01)


async def collected(session: Session, status: RunStatus) -> tuple[bytes, bytes]:
    """All that an ended run has written."""
    out, err = b"", b""
    while len(out) < status.stdout.kept or len(err) < status.stderr.kept:
        piece = await session.read(status.run, stdout=len(out), stderr=len(err), limit=100_000)
        assert piece.stdout or piece.stderr, "the node promised more than it gave"
        out, err = out + piece.stdout, err + piece.stderr
    return out, err
