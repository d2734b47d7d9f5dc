"""Agents that dial in: who is let in beside whom, and what happens to those that say nothing or nonsense."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from transports.base import Endpoint, Probe, RunId, RunState, SessionInfo
from transports.errors import Conflict, ConnectionLost, NodeStorageFull, TransportError, Unreachable
from transports.verbs import Ask
from transports.websocket import hub as hub_module
from transports.websocket.hub import MALFORMED, REPLACED, SILENT, STOPPING, TAKEN, Gone, Hub
from transports.websocket.messages import Answered, Asked, Heartbeat, Hello, decode, encode
from transports.websocket.transport import WebSocketTransport

INFO = SessionInfo(boot_id="boot", runner="test", install_id="install")
RUN = RunId(f"{'0' * 32}.1")
ENDPOINT = Endpoint(node="n", address="", port=1)


class Wire:
    """An agent's end of a connection, in memory; `closed` is the server's close code."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[str | None] = asyncio.Queue()
        self.heard: asyncio.Queue[Asked] = asyncio.Queue()
        self.closed: int | None = None

    async def receive(self) -> str:
        """What the agent said."""
        text = await self.said.get()
        if text is None:
            raise Gone("cut")
        return text

    async def send(self, text: str, /) -> None:
        """Have the agent hear it."""
        if self.closed is not None:
            raise Gone("closed")
        message = decode(text)
        assert isinstance(message, Asked)
        self.heard.put_nowait(message)

    async def close(self, code: int, reason: str) -> None:
        """The server's close."""
        assert len(reason.encode()) < 123
        if self.closed is None:
            self.closed = code
            self.said.put_nowait(None)

    def say(self, message: Any) -> None:
        """The agent says that."""
        self.said.put_nowait(message if isinstance(message, str) else encode(message))

    def hello(self, info: SessionInfo = INFO, heartbeat: float = 15.0) -> "Wire":
        """The agent says who it is."""
        self.say(Hello(info=info, version="1", heartbeat=heartbeat))
        return self


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """An empty one."""
    made = Hub()
    yield made
    await made.aclose()


@pytest.fixture
async def dial(hub: Hub) -> AsyncIterator[Any]:
    """`wire = await dial(wire, …)`: serve that wire until the end of the test."""
    tasks: list[asyncio.Task[None]] = []

    async def dialled(wire: Wire, uid: str = "uid") -> Wire:
        tasks.append(asyncio.create_task(hub.serve("n", uid, wire)))
        for _ in range(20):
            await asyncio.sleep(0)
        return wire

    yield dialled
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_has_not_dialled_in_is_unreachable(hub: Hub) -> None:
    with pytest.raises(Unreachable, match="agent connect"):
        await WebSocketTransport(hub=hub).connect(ENDPOINT)


@pytest.mark.parametrize(
    "nonsense",
    ["not json", "[]", '{"type": "hello"}', '{"type": "format"}', encode(Heartbeat()), "[" * 100_000, '{"type": []}',
     encode(Hello(info=INFO, version="1", heartbeat=10**400)),
     encode(Hello(info=INFO, version="\ud800", heartbeat=1))],
)  # fmt: skip
async def test_nonsense_instead_of_a_hello_is_closed(hub: Hub, dial: Any, nonsense: str) -> None:
    wire = Wire()
    wire.say(nonsense)
    await dial(wire)
    assert wire.closed == MALFORMED
    assert hub.dialled("n") is None


@pytest.mark.parametrize("nonsense", ["not json", '{"type": "answered"}', '{"type": "asked", "id": 1, "body": 0}'])
async def test_nonsense_later_ends_the_connection(hub: Hub, dial: Any, nonsense: str) -> None:
    wire = await dial(Wire().hello())
    wire.say(nonsense)
    await asyncio.sleep(0.01)
    assert wire.closed == MALFORMED
    assert hub.dialled("n") is None


async def test_who_says_no_hello_is_not_waited_for(dial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "HELLO_PATIENCE", 0.02)
    wire = await dial(Wire())
    await asyncio.sleep(0.05)
    assert wire.closed == MALFORMED


async def test_who_falls_silent_is_given_up(hub: Hub, dial: Any) -> None:
    """Whatever it announced, a silence is not waited for without end."""
    wire = await dial(Wire().hello(heartbeat=1.0))
    dialled = hub.dialled("n")
    assert dialled is not None
    dialled._silence = 0.02
    wire.say(Heartbeat())
    await asyncio.sleep(0.1)
    assert wire.closed == SILENT
    greedy = await dial(Wire().hello(heartbeat=1e9))
    found = hub.dialled("n")
    assert found is not None
    assert found._silence <= 180
    assert greedy.closed is None


async def test_the_same_machine_replaces_its_old_connection(hub: Hub, dial: Any) -> None:
    """The old one may be dead without knowing."""
    first = await dial(Wire().hello())
    session = await WebSocketTransport(hub=hub).connect(ENDPOINT)
    second = await dial(Wire().hello())
    assert (first.closed, second.closed) == (REPLACED, None)
    assert session.closed
    with pytest.raises(ConnectionLost):
        await session.probe()
    assert len(hub) == 1


@pytest.mark.parametrize("other", [replace(INFO, install_id="another"), replace(INFO, boot_id="another")])
async def test_another_machine_does_not_take_a_connected_nodes_place(hub: Hub, dial: Any, other: SessionInfo) -> None:
    """Two agents with one identity would throw each other out for ever."""
    first = await dial(Wire().hello())
    second = await dial(Wire().hello(other))
    assert (first.closed, second.closed) == (None, TAKEN)
    live = hub.dialled("n")
    assert live is not None
    live._heard -= 1000
    third = await dial(Wire().hello(other))
    assert (first.closed, third.closed) == (REPLACED, None)


async def test_a_node_connected_to_another_server_is_one_connection_there_or_here(hub: Hub, dial: Any) -> None:
    """Another machine is not let in here; this one's connection ends once it has dialled in there since."""
    hub.is_taken = lambda new: new.machine != (INFO.install_id, INFO.boot_id)
    other = await dial(Wire().hello(replace(INFO, install_id="another")))
    first = await dial(Wire().hello())
    assert (other.closed, first.closed) == (TAKEN, None)
    hub.overtaken("n")
    hub.overtaken("nobody")
    async with asyncio.timeout(5):
        while hub.dialled("n") is not None:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    assert first.closed == REPLACED


async def test_a_node_that_was_made_anew_is_another_one(hub: Hub, dial: Any) -> None:
    first = await dial(Wire().hello())
    second = await dial(Wire().hello(replace(INFO, install_id="another")), uid="another uid")
    assert (first.closed, second.closed) == (REPLACED, None)


async def test_a_node_that_is_gone_loses_its_connection(hub: Hub, dial: Any) -> None:
    wire = await dial(Wire().hello())
    hub.forget("n", "another uid")
    await asyncio.sleep(0.01)
    assert wire.closed is None
    hub.forget("n", "uid")
    await asyncio.sleep(0.01)
    assert wire.closed == TAKEN


async def test_a_hub_that_stops_lets_nobody_in(hub: Hub, dial: Any) -> None:
    first = await dial(Wire().hello())
    await hub.aclose()
    second = await dial(Wire().hello())
    assert (first.closed, second.closed) == (STOPPING, STOPPING)


async def test_answers_come_in_any_order_and_errors_as_what_they_were(hub: Hub, dial: Any) -> None:
    wire = await dial(Wire().hello())
    session = await WebSocketTransport(hub=hub).connect(ENDPOINT)
    probes = [asyncio.create_task(session.probe()) for _ in range(5)]
    asked = [await wire.heard.get() for _ in range(5)]
    good = {"answer": {"boot_id": "boot", "uptime": 1.5, "facts": {"a": "b"}}}
    wire.say(Answered(id=asked[4].id, body=good))
    wire.say(Answered(id=asked[3].id, body={"error": {"reason": "NodeStorageFull", "message": "full"}}))
    wire.say(Answered(id=asked[2].id, body={"error": {"reason": "Conflict", "message": "other"}}))
    wire.say(Answered(id=asked[1].id, body={"error": {"reason": "unheard of", "message": 7}}))
    wire.say(Answered(id=asked[0].id, body={"answer": {"boot_id": 7}}))
    wire.say(Answered(id=4711, body=good))
    got = await asyncio.gather(*probes, return_exceptions=True)
    assert got[4] == Probe(boot_id="boot", uptime=1.5, facts={"a": "b"})
    assert [type(e) for e in got[:4]] == [ConnectionLost, TransportError, Conflict, NodeStorageFull]


async def test_an_answer_about_another_run_is_none(hub: Hub, dial: Any) -> None:
    """A forged or confused status must not end a command."""
    wire = await dial(Wire().hello())
    session = await WebSocketTransport(hub=hub).connect(ENDPOINT)
    asking = asyncio.create_task(session.status(RUN))
    asked = await wire.heard.get()
    other = {"run": f"{'1' * 32}.1", "state": RunState.DONE.value, "boot_id": "boot", "exit_code": 0}
    wire.say(json.dumps({"type": "answered", "id": asked.id, "body": {"answer": other}}))
    with pytest.raises(ConnectionLost, match="not asked for"):
        await asking


STATUS = {"run": RUN, "state": "done", "boot_id": "boot", "exit_code": 0}
BEYOND = [
    {**STATUS, "exit_code": 256},
    {**STATUS, "exit_code": 10**400},
    {**STATUS, "signal": 0},
    {**STATUS, "duration": -1},
    {**STATUS, "duration": 10**400},
    {**STATUS, "boot_id": "b" * 1000},
    {**STATUS, "boot_id": "\ud800"},
    {**STATUS, "stdout": {"kept": -1}},
    {**STATUS, "stderr": {"kept": 1, "total": 1 << 64}},
]


@pytest.mark.parametrize("status", BEYOND)
async def test_what_no_runner_can_have_said_reaches_nobody(hub: Hub, dial: Any, status: dict[str, Any]) -> None:
    """A node that lies must not put into the store what the server then stumbles over."""
    wire = await dial(Wire().hello())
    session = await WebSocketTransport(hub=hub).connect(ENDPOINT)
    told: list[object] = []
    session.on_end = told.append
    asking = asyncio.create_task(session.status(RUN))
    asked = await wire.heard.get()
    wire.say(json.dumps({"type": "answered", "id": asked.id, "body": {"answer": status}}))
    with pytest.raises(ConnectionLost, match="makes no sense"):
        await asking
    wire.say(json.dumps({"type": "ended", "status": status}))
    await asyncio.sleep(0.01)
    assert (told, wire.closed) == ([], MALFORMED)


@pytest.mark.parametrize(
    "said",
    [
        {"uptime": 10**400},
        {"boot_id": "\ud800"},
        {"facts": {"a": "\ud800"}},
        {"facts": {"\ud800": "a"}},
    ],
)
async def test_a_probe_that_nobody_could_store_is_none(hub: Hub, dial: Any, said: dict[str, Any]) -> None:
    """Half a surrogate pair, or a number beyond every float: with that in it a node is not reconciled any more."""
    wire = await dial(Wire().hello())
    session = await WebSocketTransport(hub=hub).connect(ENDPOINT)
    probing = asyncio.create_task(session.probe())
    asked = await wire.heard.get()
    wire.say(Answered(id=asked.id, body={"answer": {"boot_id": "boot", "uptime": 1, "facts": {}, **said}}))
    with pytest.raises(ConnectionLost, match="makes no sense"):
        await probing


async def test_an_agents_own_words_are_harmless(hub: Hub, dial: Any) -> None:
    wire = await dial(Wire().hello())
    session = await WebSocketTransport(hub=hub).connect(ENDPOINT)
    probing = asyncio.create_task(session.probe())
    asked = await wire.heard.get()
    words = "full\r\n\x1b[2J\ud800" + "x" * 100_000
    wire.say(Answered(id=asked.id, body={"error": {"reason": "NodeStorageFull", "message": words}}))
    with pytest.raises(NodeStorageFull, match=r"^the agent answered: full \[2J x+…$") as raised:
        await probing
    assert len(str(raised.value)) < 2000


async def test_facts_and_output_beyond_measure_are_refused(hub: Hub, dial: Any) -> None:
    wire = await dial(Wire().hello())
    session = await WebSocketTransport(hub=hub).connect(ENDPOINT)
    probing = asyncio.create_task(session.probe())
    facts = {"boot_id": "boot", "uptime": 1, "facts": {"a": "x" * 100_000}}
    wire.say(Answered(id=(await wire.heard.get()).id, body={"answer": facts}))
    reading = asyncio.create_task(session.read(RUN, stdout=0, stderr=0, limit=10))
    wire.say(Answered(id=(await wire.heard.get()).id, body={"answer": {"stdout": "AAAAAAAAAAAAAAAAAAAA"}}))
    for asking in (probing, reading):
        with pytest.raises(ConnectionLost):
            await asking


@pytest.mark.parametrize("beyond", [{"install_id": "i" * 1000}, {"login_seconds": 1e308}, {"login_seconds": -1.0}])
async def test_a_hello_beyond_measure_is_none(hub: Hub, dial: Any, beyond: dict[str, Any]) -> None:
    wire = await dial(Wire().hello(replace(INFO, **beyond)))
    assert (wire.closed, hub.dialled("n")) == (MALFORMED, None)


async def test_a_cut_connection_fails_what_was_asked_over_it(hub: Hub, dial: Any) -> None:
    wire = await dial(Wire().hello())
    dialled = hub.dialled("n")
    assert dialled is not None
    asking = asyncio.create_task(dialled.ask(Ask()))
    await wire.heard.get()
    wire.said.put_nowait(None)
    with pytest.raises(ConnectionLost):
        await asking
    assert hub.dialled("n") is None
