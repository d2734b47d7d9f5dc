"""Claim, cancel, report and read, all at once and on any replica, as if one call came after another.

Several clients work on few commands through the API; on PostgreSQL through whichever replica, and again while
connections to the database are killed. What they saw of each command must be what a single clerk could have answered
who takes one call after another: see `tests.support.linearizability`.
"""

import asyncio
import itertools
import os
import random
from collections.abc import AsyncIterator, Hashable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from controller.runtime.clock import SystemClock
from controller.store.postgres.database import Database
from tests.contract.store.objects import Backend, PostgresBackend
from tests.support.inprocess import API, running
from tests.support.linearizability import Call, Impossible, order_of
from tests.support.postgres import fresh_dsn

ROUNDS = int(os.environ.get("VENDETTA_HISTORIES", "8"))
CLIENTS, COMMANDS, STEPS = 6, 3, 8
UNDONE = 503
"""What promises that nothing was stored."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a command stands, as far as the calls can tell."""

    phase: str = "absent"
    cancel: bool = False
    handed_out: bool = False
    output: str | None = None


def clerk(stage: Stage, call: Call) -> Stage:
    """The model: contract C-8, C-9 and C-13. Raises Impossible."""
    if call.answer == UNDONE:
        return stage
    after, answer = _served(stage, call)
    if call.answer != answer:
        raise Impossible
    return after


def _served(stage: Stage, call: Call) -> tuple[Stage, Hashable]:
    """The stage after the call, and the right answer to it."""
    ended = stage.phase == "success"
    match call.what.split():
        case ["create"]:
            fresh = stage.phase == "absent"
            return Stage("pending") if fresh else stage, 200 if ended else 202
        case ["read"]:
            return stage, 404 if stage.phase == "absent" else (stage.phase, stage.cancel, stage.output)
        case _ if stage.phase == "absent":
            return stage, False if call.what == "claim" else 404
        case ["claim"]:
            free = stage.phase == "pending" and not stage.cancel
            return replace(stage, phase="running", handed_out=True) if free else stage, free
        case ["cancel"]:
            return stage if ended else replace(stage, cancel=True), 200 if ended else 202
        case ["report", nonce, _] if (nonce == "with") != stage.handed_out:
            return stage, 403
        case ["report", _, output] if ended:
            return stage, 202 if output == stage.output else 409
        case ["report", _, output]:
            return replace(stage, phase="success", output=output), 202
    raise AssertionError(call)


@dataclass
class History:
    """What was seen of each command of a round."""

    names: Sequence[str]
    ticks: Iterator[int] = field(default_factory=itertools.count)
    calls: dict[str, list[Call]] = field(default_factory=dict)
    nonces: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, begun: int, what: str, answer: Hashable) -> None:
        """Add a call that has just been answered."""
        self.calls.setdefault(name, []).append(Call(begun, next(self.ticks), what, answer))


@asynccontextmanager
async def replicas(backend: Backend, count: int) -> AsyncIterator[Sequence[API]]:
    """The API on so many stores of the same data."""
    async with AsyncExitStack() as stack:
        stores = [backend.open() for _ in range(count)]
        await asyncio.gather(*(store.start() for store in stores))
        for store in stores:
            stack.push_async_callback(store.aclose)
        yield [await stack.enter_async_context(running(store=store)) for store in stores]


async def one_step(rng: random.Random, api: API, node: str, history: History) -> None:
    """One client makes one call."""
    await asyncio.sleep(rng.choice([0, 0, 0.001, 0.005]))
    name, begun = rng.choice(history.names), next(history.ticks)
    match rng.choice(["create", "claim", "cancel", "report", "report", "read", "read"]):
        case "create":
            body = {"id": name, "action": "true"}
            response = await api.client.post(f"/api/v1/nodes/{node}/commands?wait=0", json=body)
            history.note(name, begun, "create", response.status_code)
        case "claim":
            await claim(api, node, history, begun)
        case "cancel":
            response = await api.client.post(f"/api/v1/commands/{name}/cancel")
            history.note(name, begun, "cancel", response.status_code)
        case "report":
            await report(rng, api, node, history, name)
        case "read":
            response = await api.client.get(f"/apis/vendetta.dev/v1/commands/{name}")
            history.note(name, begun, "read", seen(response.json()) if response.is_success else response.status_code)


async def claim(api: API, node: str, history: History, begun: int) -> None:
    """It says something of every command: which were handed out now, and that the others were not."""
    response = await api.client.post(f"/api/v1/nodes/{node}/commands/claim", json={"limit": 100})
    if response.status_code == UNDONE:
        return
    handed = {command["id"]: command["nonce"] for command in response.json()["commands"]}
    history.nonces |= handed
    for name in history.names:
        history.note(name, begun, "claim", name in handed)


async def report(rng: random.Random, api: API, node: str, history: History, name: str) -> None:
    """With the nonce, where one is known by now; and sometimes without although there is one."""
    nonce = history.nonces.get(name) if rng.random() < 0.8 else None
    body = {"id": name, "node_id": node, "status": "success", "output": rng.choice("ab")}
    begun = next(history.ticks)
    response = await api.client.post(
        f"/api/v1/commands/{name}/result", json=body | ({"nonce": nonce} if nonce else {})
    )
    what = f"report {'with' if nonce else 'without'} {body['output']}"
    history.note(name, begun, what, response.status_code)


def seen(command: dict[str, Any]) -> tuple[str, bool, str | None]:
    """What of a command is compared."""
    status = command["status"]
    return status["phase"], command["spec"].get("cancel", False), status.get("output")


async def check(rng: random.Random, apis: Sequence[API], number: int) -> int:
    """One round: clients at work on new commands, and their histories explained. Returns how many calls it were."""
    node = f"node-{number}"
    while (await apis[0].client.post("/api/v1/nodes", json={"id": node})).status_code == UNDONE:
        pass
    history = History([f"c{number}-{n}" for n in range(COMMANDS)])

    async def client() -> None:
        for _ in range(STEPS):
            await one_step(rng, rng.choice(apis), node, history)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    for name, calls in history.calls.items():
        assert order_of(calls, Stage(), clerk) is not None, (name, sorted(calls, key=lambda call: call.begun))
    return sum(map(len, history.calls.values()))


async def test_clients_of_all_replicas_see_one_order(backend: Backend) -> None:
    backend.clock = SystemClock()  # type: ignore[assignment]
    rng = random.Random(os.environ.get("VENDETTA_SEED", "1"))
    async with replicas(backend, 3 if isinstance(backend, PostgresBackend) else 1) as apis:
        calls = sum([await check(rng, apis, number) for number in range(ROUNDS)])
    assert calls > ROUNDS * CLIENTS * STEPS * 0.9


async def test_one_order_whatever_becomes_of_connections() -> None:
    """A commit without an answer is neither repeated nor denied: 503 means that nothing was stored."""
    dsn, mark = fresh_dsn(), f"marked-{os.getpid()}"
    backend = PostgresBackend(SystemClock(), f"{dsn}&application_name={mark}")  # type: ignore[arg-type]
    rng = random.Random(os.environ.get("VENDETTA_SEED", "2"))
    async with replicas(backend, 3) as apis:
        killer = asyncio.create_task(kill_connections(dsn, mark))
        for number in range(ROUNDS):
            await check(rng, apis, number)
        killer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await killer


async def kill_connections(dsn: str, mark: str) -> None:
    """Those that bear this mark, one after another, for ever."""
    connection = await Database.of(dsn).connect()
    try:
        while True:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 "
                "ORDER BY random() LIMIT 1",
                mark,
            )
            await asyncio.sleep(0.1)
    finally:
        await connection.close()
