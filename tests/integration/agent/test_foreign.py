"""Agents that know only `POST /api/v1/execute`: at most one POST for a run, and what is not known is not told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.integration.agent.conftest import TOKEN, Connect
from tests.support.agents import Unattended
from tests.support.nodes import free_port
from tests.support.runs import collect, ended, request
from transports.base import RunState
from transports.errors import Conflict, ConnectionLost, Rejected

RESULT = {"exit_code": 3, "output": "out\n", "error": "err\n", "duration": 0.25, "start": "", "end": ""}


class Foreign:
    """An agent of somebody else's. `posts` is what came; `answer` what it says; `hold` keeps it back."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.answer: Response = JSONResponse(RESULT)
        self.hold = asyncio.Event()
        self.hold.set()
        self.port = free_port()
        routes = [Route("/api/v1/execute", self._execute, methods=["POST"])]
        self._app = cast("Any", Starlette(routes=routes))
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> "Foreign":
        """Begin to listen."""
        self._server = Unattended(uvicorn.Config(self._app, port=self.port, lifespan="off", log_config=None))
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 - it does not tell
            await asyncio.sleep(0.01)
        return self

    async def stop_listening(self) -> None:
        """Stop, for now or for good."""
        self.hold.set()
        self._server.should_exit = True
        assert self._serving is not None
        await self._serving

    async def _execute(self, asked: Request) -> Response:
        assert asked.headers["authorization"] == f"Bearer {TOKEN}"
        self.posts.append(await asked.json())
        await self.hold.wait()
        return self.answer


@pytest.fixture
async def foreign() -> AsyncIterator[Foreign]:
    """A running one."""
    made = await Foreign().start()
    yield made
    await made.stop_listening()


async def test_a_result_is_what_the_agent_says_and_presumed(connect: Connect, foreign: Foreign) -> None:
    session = await connect(foreign.port)
    asked = request("echo hello", timeout=7.2)
    status = await session.start(asked, wait=5)
    assert (status.state, status.exit_code, status.presumed) == (RunState.DONE, 3, True)
    assert status.duration == 250_000_000
    assert await collect(session, status) == (b"out\n", b"err\n")
    assert foreign.posts == [{"cmd": "echo hello", "env": {}, "timeout": 8, "capture_output": True}]


@pytest.mark.parametrize(("told", "output"), [("a\\udcff", b"a\xff"), ("a\\ud800", b"a?")])
async def test_output_that_was_no_text_ends_a_run_too(
    connect: Connect, foreign: Foreign, told: str, output: bytes
) -> None:
    """Python's agents write such bytes as halves of surrogate pairs, which have no encoding."""
    foreign.answer = Response(f'{{"exit_code": 0, "output": "{told}"}}', media_type="application/json")
    session = await connect(foreign.port)
    status = await session.start(request("true"), wait=5)
    assert (status.state, status.exit_code) == (RunState.DONE, 0)
    assert await collect(session, status) == (output, b"")


async def test_it_is_posted_once(connect: Connect, foreign: Foreign) -> None:
    session = await connect(foreign.port)
    asked = request("echo hello")
    foreign.hold.clear()
    starts = [asyncio.create_task(session.start(asked, wait=5)) for _ in range(3)]
    await asyncio.sleep(0.1)
    assert (await session.status(asked.run)).state is RunState.RUNNING
    foreign.hold.set()
    assert {s.state for s in await asyncio.gather(*starts)} == {RunState.DONE}
    assert len(foreign.posts) == 1
    with pytest.raises(Conflict):
        await session.start(request("echo other").__class__(run=asked.run, script=b"other"), wait=1)


async def test_a_lost_answer_is_not_asked_for_again(connect: Connect, foreign: Foreign) -> None:
    """Whether it ran nobody can tell: LOST, in this session and in the next one, and never posted again."""
    first = await connect(foreign.port)
    asked = request("echo hello")
    foreign.hold.clear()
    assert (await first.start(asked)).state is RunState.RUNNING
    await first.aclose()
    second = await connect(foreign.port)
    assert (await second.status(asked.run)).state is RunState.LOST
    assert len(foreign.posts) == 1


@pytest.mark.parametrize(
    "answer",
    [Response(b"what", 200), JSONResponse({"exit_code": True}), JSONResponse([1]), JSONResponse({}, 500)],
)
async def test_nonsense_is_no_success(connect: Connect, foreign: Foreign, answer: Response) -> None:
    foreign.answer = answer
    session = await connect(foreign.port)
    asked = request("echo hello")
    await session.start(asked, wait=5)
    assert (await ended(session, asked.run)).state is RunState.LOST


async def test_a_refusal_says_that_nothing_ran(connect: Connect, foreign: Foreign) -> None:
    foreign.answer = JSONResponse({"message": "not today"}, 422)
    session = await connect(foreign.port)
    with pytest.raises(Rejected, match="not today"):
        await session.start(request("echo hello"), wait=5)
    with pytest.raises(Rejected, match="no input"):
        await session.start(request("cat", stdin=b"x"), wait=5)


async def test_what_never_left_may_go_out_later_and_then_once(connect: Connect, foreign: Foreign) -> None:
    """Nobody was there to take it: that is known, also by two who ask at once."""
    session = await connect(foreign.port)
    await foreign.stop_listening()
    asked, dropped = request("echo hello"), request("echo dropped")
    both = await asyncio.gather(*(session.start(asked, wait=2) for _ in range(2)), return_exceptions=True)
    assert [type(e) for e in both] == [ConnectionLost, ConnectionLost]
    assert (await session.status(asked.run)).state is RunState.ABSENT
    with pytest.raises(ConnectionLost):
        await session.start(dropped, wait=2)
    assert (await session.cancel(dropped.run)).state is RunState.TOMBSTONE
    await foreign.start()
    assert (await session.start(asked, wait=5)).state is RunState.DONE
    assert (await session.start(dropped, wait=5)).state is RunState.TOMBSTONE
    assert len(foreign.posts) == 1


async def test_a_probe_needs_nothing_but_an_answer(connect: Connect, foreign: Foreign) -> None:
    session = await connect(foreign.port)
    assert (await session.probe()).facts == {"agent": "execute/1"}
    await foreign.stop_listening()
    with pytest.raises(ConnectionLost):
        await session.probe()
    assert session.closed
