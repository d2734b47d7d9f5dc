"""The broadcaster: follows the store, keeps the log, wakes the clients and watches over them.

Guarantees:

* An announced change is encoded once, whatever the number of clients, and told in the store's order.
* A client's snapshot and its subscription are atomic: every event after the snapshot reaches it, none before does.
* A client that does not read costs its connection's buffers and nothing else, and is dropped after a while.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from api.auth import revocation
from api.auth.principal import Principal
from api.stream.client import Client, Kind, Lane
from api.stream.events import Encoder, Event
from api.stream.log import EventLog, Lagged
from api.traffic import Traffic
from controller.contacts import Contacts
from controller.duration import SECOND
from controller.runtime.clock import Clock
from controller.settings import WebsocketSettings
from controller.store.base import Change, Expired, Store, Unavailable

log = structlog.get_logger(__name__)

KINDS: Final = frozenset({"Node", "Command"})
BATCH: Final = 512
SNAPSHOT_SECONDS: Final = 1.0
"""How long an unchanged snapshot is reused: `last_seen` in it moves without a revision."""


class Broadcaster:
    """One for a server. `run` must be running for anything to be told."""

    def __init__(
        self,
        *,
        store: Store,
        contacts: Contacts,
        clock: Clock,
        settings: WebsocketSettings,
        traffic: Traffic,
        stopping: asyncio.Event,
    ) -> None:
        """The store must have been started."""
        self._store = store
        self._clock = clock
        self._traffic = traffic
        self._stopping = stopping
        self.ping_period = settings.ping_period / SECOND
        self._encoder = Encoder(store.uid, contacts)
        self._log = EventLog(store.revision())
        self._clients: set[Client] = set()
        self._snapshot: tuple[tuple[int, bool], float, Event] | None = None

    @property
    def connected_clients(self) -> int:
        """Clients, SSE and WebSocket together (D-4)."""
        return len(self._clients)

    async def run(self) -> None:
        """Follow the store until cancelled, or until the server stops."""
        async with asyncio.TaskGroup() as group:
            tasks = (
                group.create_task(self._follow(), name="stream-follow"),
                group.create_task(self._watch_over(), name="stream-watch-over"),
            )
            await self._stopping.wait()
            for client in self._clients:
                client.end()
            for task in tasks:
                task.cancel()

    async def _follow(self) -> None:
        """Append to the log, for ever."""
        while True:
            try:
                await self._follow_from(self._log.head)
            except Expired:
                # Only when this task was starved for longer than the history is kept: begin anew, with a gap.
                log.warning("the event stream fell behind the store's history and starts anew")
                self._log.restart(self._store.revision())
                self._wake_all()
            except Unavailable:
                return  # the store is closing, and so is the server

    async def _follow_from(self, revision: int) -> None:
        async with self._store.watch(KINDS, since=revision) as watch:
            while True:
                self._publish(await watch.batch(BATCH), watch.revision)
                await asyncio.sleep(0)  # a batch that is there already is no wait: give way between two of them

    def _publish(self, changes: Sequence[Change], head: int) -> None:
        """Tell the clients. While there are none, nothing is encoded: who comes back reads the store's history."""
        if not self._clients:
            self._log.restart(head)
            return
        events = [event for change in changes if (event := self._encoder.event(change)) is not None]
        self._log.extend(events, head)
        if events:
            self._wake_all()

    def _wake_all(self) -> None:
        now = asyncio.get_running_loop().time()
        for client in self._clients:
            if not client.push(now):
                client.wake()

    async def _watch_over(self) -> None:
        """Look at all clients now and then: who needs a heartbeat, who has been stuck in one write for too long."""
        loop, step = asyncio.get_running_loop(), min(1.0, self.ping_period / 4)
        while True:
            await asyncio.sleep(step)
            now, wall = loop.time(), self._clock.now()
            for client in tuple(self._clients):
                if not revocation.still_counts(client.principal, self._store, wall):
                    client.end()
                self._look_at(client, now)

    def _look_at(self, client: Client, now: float) -> None:
        since = client.sending_since
        if since is not None and now - since >= 2 * self.ping_period:
            self._traffic.dropped_streams += 1
            client.abort()
        elif since is None and client.kind == "sse" and now - client.last_sent >= self.ping_period:
            client.ping = True
            client.wake()

    @contextmanager
    def connect(
        self, kind: Kind, types: frozenset[str], lane: Lane | None, principal: Principal | None
    ) -> Iterator[Client]:
        """Count a client in, and out again."""
        client = Client(self._log, kind, types, lane, principal, asyncio.get_running_loop().time())
        client.ended = self._stopping.is_set()
        self._clients.add(client)
        self._traffic.stream_opened(kind)
        try:
            yield client
        finally:
            self._clients.discard(client)
            self._traffic.stream_closed(kind)

    async def opening(self, client: Client, last_event_id: str | None) -> AsyncIterator[Sequence[Event]]:
        """Yield what a client gets first: what it missed, else a snapshot. Then it stands where that ends."""
        if last_event_id is None:
            yield [self._stand_at_snapshot(client, resync=False)]
            return
        revision = self._encoder.revision_of(last_event_id)
        if revision is not None and revision > self._store.revision() and not await self._catch_up():
            client.end()  # it comes back, to a server that knows
            return
        if revision is None or revision > self._store.revision():
            yield [self._stand_at_snapshot(client, resync=True)]
            return
        try:
            async for missed in self._missed(client, revision):
                yield missed
        except Expired:
            yield [self._stand_at_snapshot(client, resync=True)]

    async def _catch_up(self) -> bool:
        """Another server may have told what this one has not heard of yet. Whether that could be found out."""
        try:
            await self._store.current()
        except Unavailable:
            return False
        return True

    def _stand_at_snapshot(self, client: Client, *, resync: bool) -> Event:
        """No await in here: that makes the snapshot and the place one moment."""
        event = self._initial_state(resync=resync)
        client.stand(event.revision)
        return event

    def _initial_state(self, *, resync: bool) -> Event:
        now = asyncio.get_running_loop().time()
        key = (self._store.revision(), resync)
        if self._snapshot is not None and self._snapshot[0] == key and now - self._snapshot[1] < SNAPSHOT_SECONDS:
            return self._snapshot[2]
        page = self._store.list("Node")
        event = self._encoder.initial_state(page.items, page.revision, self._clock.now(), resync=resync)
        self._snapshot = ((page.revision, resync), now, event)
        return event

    async def _missed(self, client: Client, revision: int) -> AsyncIterator[Sequence[Event]]:
        """Read the store's history up to where the log begins. Raises Expired where it does not reach back."""
        while revision < self._log.floor:
            async with self._store.watch(KINDS, since=revision) as watch:
                changes = await watch.batch(BATCH, 0)
                revision = watch.revision
            events = [e for change in changes if (e := self._encoder.event(change)) is not None]
            if wanted := [e for e in events if e.type in client.types]:
                yield wanted
            # A send to a client that has just gone returns at once: never let this loop keep the server's.
            await asyncio.sleep(0)
            if client.ended:
                return
        try:
            client.stand(revision)
        except Lagged:  # between the check and here nothing can happen, but for a log that started anew
            raise Expired("the log has started anew") from None

    def farewell(self) -> Event:
        """Return what a client that was too slow is told before it is closed."""
        self._traffic.dropped_streams += 1
        return self._encoder.resync(self._store.revision(), self._clock.now())
