"""An event stream that goes on at another server, which may not have heard of the last event yet (contract E-2)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from api.stopping import Stopping
from api.stream import Broadcaster
from api.stream.events import DOCUMENTED
from api.traffic import Traffic
from controller.announce import announce
from controller.contacts import Contacts
from controller.runtime.clock import SystemClock
from controller.settings import WebsocketSettings
from controller.store.base import Store, Unavailable
from controller.store.open import open_store
from tests.contract.store.objects import create, node
from tests.support.postgres import fresh_dsn


@pytest.fixture
async def two() -> AsyncIterator[list[Store]]:
    """Two servers' stores on one database."""
    dsn = fresh_dsn()
    stores = [open_store("postgres", dsn, clock=SystemClock(), announce=announce) for _ in range(2)]
    for store in stores:
        await store.start()
    yield stores
    for store in stores:
        await store.aclose()


def broadcaster(store: Store) -> Broadcaster:
    """A server's."""
    return Broadcaster(
        store=store,
        contacts=Contacts(),
        clock=SystemClock(),
        settings=WebsocketSettings(),
        traffic=Traffic(),
        stopping=Stopping(),
    )


async def opening(stream: Broadcaster, last: str) -> tuple[list[str], bool]:
    """The types of what a client is told at first that comes back with that id, and whether the stream ends there."""
    with stream.connect("sse", DOCUMENTED, None, None) as client:
        told = [event.type async for events in stream.opening(client, last) for event in events]
        return told, client.ended


async def test_a_server_that_has_not_heard_of_the_last_event_catches_up(two: list[Store]) -> None:
    """It begins nothing anew: nothing was missed."""
    stream = broadcaster(two[1])
    for number in range(10):
        written = await create(two[0], node(f"n{number}"))
        last = f"{two[0].uid}-{written.metadata.resource_version}"
        assert await opening(stream, last) == ([], False)


async def test_one_that_cannot_ask_sends_the_client_away(two: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """To come back to one that can: here, what is next to tell is not known."""

    async def away() -> None:
        await asyncio.sleep(0)
        raise Unavailable("cannot ask the database what is new")

    stream = broadcaster(two[1])
    monkeypatch.setattr(two[1], "current", away)
    assert await opening(stream, f"{two[0].uid}-7") == ([], True)


async def test_an_event_that_never_was_begins_anew(two: list[Store]) -> None:
    """As one of another store does."""
    stream = broadcaster(two[1])
    assert await opening(stream, f"{two[0].uid}-99") == (["initial_state"], False)
