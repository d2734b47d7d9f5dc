"""The only door to the transports: one connection a node, kept open, opened in the background, shared by all.

So many attempts to connect run at a time, and apart from them as many to nodes that failed before: those behind a
wall take their whole time each, and would keep the others waiting.

Nobody who reconciles ever waits for a connection. `session` answers at once: an open session, or why there is none;
when that changes, `on_link` says so and the waiting keys are reconciled again.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from tenacity.wait import wait_exponential_jitter

from controller import bindings, hostkeys
from controller.endpoints import DIALLED_IN, Endpoints
from controller.metrics import Metrics
from controller.resources.command import Delivery
from controller.resources.node import Node, TransportSpec, names_transport, transports_of
from controller.runtime.backoff import pause
from controller.runtime.clock import Clock
from controller.shares import Mine
from controller.store.base import Store
from transports.base import Endpoint, HostKeyPolicy, RunStatus, Session, Transport
from transports.errors import (
    CredentialRebindRequired,
    EndpointInvalid,
    HostKeyMismatch,
    Refused,
    TransportError,
    Unreachable,
)

log = structlog.get_logger(__name__)

_BACKOFF = wait_exponential_jitter(multiplier=1, max=30, jitter=1)
_REFUSED_PAUSE = 1.0
_LASTING = 30.0
"""A connection that was lost sooner than after so many seconds counts as a failure to connect."""


_LINGER = 30.0
"""Seconds for which the way to a node stays open that another server works on now."""


class Connecting(Unreachable):
    """A connection is being set up; `on_link` will tell when that is over."""

    reason = "Queued"


class TransportUnavailable(Unreachable):
    """This server has no transport of the kind that the node asks for."""

    reason = "TransportUnavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """How the way to a node was opened: over what, to where (address, port and host key), and when."""

    transport: str
    place: str
    connect_at: datetime
    """When connecting began, attempts that failed at once included."""
    login_at: datetime
    """When the node took the connection, and logging in began."""
    ready_at: datetime
    """When commands could be sent."""


@dataclass(slots=True, eq=False)
class Link:
    """The way to one node: open, being opened, or down with the error and the time of the next attempt."""

    uid: str
    node: str
    generation: int
    session: Session | None = None
    way: Opened | None = None
    opened_at: float = 0.0
    opening: "asyncio.Task[None] | None" = field(default=None, repr=False)
    error: TransportError | None = None
    rebind: CredentialRebindRequired | None = None
    failures: int = 0
    retry_at: float = 0.0


class Dispatcher:
    """Links by node uid."""

    def __init__(
        self,
        *,
        store: Store,
        endpoints: Endpoints,
        transports: Callable[[str], Transport],
        clock: Clock,
        metrics: Metrics,
        max_retries: int,
        connect_concurrency: int,
        dialled_in: Callable[[str], bool],
        mine: Mine,
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._transports = transports
        self._clock = clock
        self._metrics = metrics
        self._max_retries = max_retries
        self._dialled_in = dialled_in
        self._mine = mine
        self._slots = asyncio.Semaphore(connect_concurrency)
        self._slots_again = asyncio.Semaphore(connect_concurrency)
        self._links: dict[str, Link] = {}
        self._left: set[str] = set()
        self._retired: set[asyncio.Task[None]] = set()
        self._closing = False
        self.on_link: Callable[[str], None] = lambda node: None
        """Told the name of a node whose link went up or down."""
        self.on_mismatch: Callable[[str, HostKeyMismatch], None] = lambda node_uid, error: None
        """Told the uid of a node that presented a key which is not trusted."""
        self.on_rebind: Callable[[str, CredentialRebindRequired | None], None] = lambda node_uid, error: None
        """Told of each failure to connect whether a credential of that node was held back on the way."""
        self.on_end: Callable[[RunStatus], None] = lambda status: None
        """Told of runs that a node says have ended."""

    def session(self, node: Node, *, connect_timeout: int | None = None) -> Session:
        """The open session of a node.

        Raises Connecting while one is being opened, Unreachable or Refused as the last attempt ended.
        """
        current = self._store.get("Node", node.name)
        if current is None or current.uid != node.uid:
            raise Unreachable(f"node {node.name} is gone")
        if not self._mine(node.name):
            raise Unreachable(f"another server works on node {node.name}")
        link = self._link(node)
        if link.session is not None and not link.session.closed:
            return link.session
        if link.opening is None and self._clock.monotonic() >= link.retry_at and not self._closing:
            link.opening = asyncio.create_task(self._open(link, node, connect_timeout), name=f"connect:{node.name}")
        if link.opening is not None:
            raise Connecting(f"connecting to node {node.name}")
        raise link.error or Unreachable(f"node {node.name} is not connected")

    async def connected(self, node: Node) -> Session:
        """The open session of a node, after waiting for an attempt under way or a new one."""
        try:
            return self.session(node)
        except Connecting:
            link = self._link(node)
            if link.opening is not None:
                await asyncio.shield(link.opening)
            if link.session is not None and not link.session.closed:
                return link.session
            raise link.error or Unreachable(f"node {node.name} is not connected") from None

    def way_to(self, node: Node) -> Opened:
        """How the way to the node was opened that is in use. Raises Unreachable if there is none any more."""
        link = self._links.get(node.uid)
        if link is None or link.way is None:
            raise Unreachable(f"the way to node {node.name} has just changed")
        return link.way

    def is_elsewhere(self, node: Node, delivery: Delivery) -> bool:
        """Whether the node's session leads to another place than the one where something was delivered.

        Over another transport the address and the host key are others, too: then the id of the node's files decides.
        """
        link = self._links.get(node.uid)
        if not delivery.place or link is None or link.way is None:
            return bool(delivery.place)
        if delivery.transport == link.way.transport:
            return delivery.place != link.way.place
        files = link.way.place.rpartition(" ")[2]
        return not files or files != delivery.place.rpartition(" ")[2]

    def retry_in(self, node: Node) -> float:
        """Seconds until a connection may be tried again."""
        link = self._links.get(node.uid)
        return max(0.0, link.retry_at - self._clock.monotonic()) if link is not None else 0.0

    def secret(self, ref: str) -> str:
        """A value by reference, for a command's environment. Raises AuthFailed."""
        return self._endpoints.secret(ref)

    def retry_refused(self) -> list[str]:
        """What is trusted has changed: let every refused link be tried anew. Returns the nodes' uids."""
        refused = [link for link in self._links.values() if isinstance(link.error, Refused)]
        for link in refused:
            link.retry_at = 0.0
        return [link.uid for link in refused]

    def retry(self, node_uid: str) -> None:
        """There may be a way to that node now: do not wait to try it."""
        link = self._links.get(node_uid)
        if link is not None:
            link.retry_at = 0.0

    def forget(self, node_uid: str) -> None:
        """Close the way to a node that is gone, in the background."""
        link = self._links.pop(node_uid, None)
        if link is not None:
            self._retire(link)

    def keep(self, uids: Collection[str]) -> None:
        """Use the ways to all other nodes no more. Runs there go on.

        One that is open stays so for a while: a server that has lost its place for a moment gets its nodes back.
        """
        for uid in self._links.keys() - set(uids) - self._left:
            if self._links[uid].session is None:
                self.forget(uid)
            else:
                self._left.add(uid)
                asyncio.get_running_loop().call_later(_LINGER, self._close_if_left, uid)

    def _close_if_left(self, uid: str) -> None:
        self._left.discard(uid)
        link = self._links.get(uid)
        if link is not None and not self._mine(link.node) and not self._closing:
            self.forget(uid)

    async def aclose(self) -> None:
        """Close all links. Runs on the nodes go on."""
        self._closing = True
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*(self._close(link) for link in links), *self._retired)

    def _link(self, node: Node) -> Link:
        """The node's link; a changed spec starts a new one, since it may lead elsewhere."""
        link = self._links.get(node.uid)
        if link is not None and link.generation == node.metadata.generation:
            return link
        if link is not None:
            self._retire(link)
        link = self._links[node.uid] = Link(node.uid, node.name, node.metadata.generation)
        return link

    def _retire(self, link: Link) -> None:
        task = asyncio.create_task(self._close(link), name=f"close:{link.node}")
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def _close(self, link: Link) -> None:
        if link.opening is not None:
            link.opening.cancel()
            await asyncio.gather(link.opening, return_exceptions=True)
        if link.session is not None:
            link.session.on_close = None
            await link.session.aclose()
            self._metrics.sessions.dec()

    async def _open(self, link: Link, node: Node, connect_timeout: int | None) -> None:
        """Try the node's transports in order until one opens; the link says how it went."""
        try:
            await self._try_each(link, node, connect_timeout)
        except TransportError as error:
            self._failed(link, error)
        except Exception as error:
            log.exception("connecting broke", node=link.node)
            self._failed(link, Unreachable(f"connecting to node {link.node} broke: {type(error).__name__}"))
        finally:
            link.opening = None
        self.on_link(link.node)

    async def _try_each(self, link: Link, node: Node, connect_timeout: int | None) -> None:
        first: TransportError | None = None
        held_back: CredentialRebindRequired | None = None
        began = self._clock.now()
        for spec in self._ways(node):
            try:
                place, session = await self._connect(link, node, spec, connect_timeout)
            except TransportError as error:
                first = first or error
                if isinstance(error, CredentialRebindRequired) and error.node == node.name:
                    held_back = held_back or error
                continue
            ready = self._clock.now()
            login = min(max(began, ready - timedelta(seconds=session.info.login_seconds)), ready)
            way = Opened(transport=spec.type, place=place, connect_at=began, login_at=login, ready_at=ready)
            self._opened(link, way, session)
            return
        self._note_rebind(link, held_back)
        raise first or EndpointInvalid(f"node {node.name} names no transport")

    def _note_rebind(self, link: Link, error: CredentialRebindRequired | None) -> None:
        """Tell whether a credential waits to be confirmed, also where another transport's error comes first."""
        news = error is not None and (link.rebind is None or str(link.rebind) != str(error))
        link.rebind = error
        self.on_rebind(link.uid, error)
        self._metrics.credential_rebinds.inc(1 if news else 0)

    def _ways(self, node: Node) -> tuple[TransportSpec, ...]:
        """How to try to reach the node, in this order (contract B-2).

        One that says nothing of it and cannot be dialled may dial in yet, or report by itself: it is waited for.
        """
        default = transports_of(node)
        if names_transport(node):
            return default
        if self._dialled_in(node.name):
            return (TransportSpec(type=DIALLED_IN), *default)
        dialled = [spec for spec in default if self._endpoints.is_complete(node, spec)]
        return tuple(dialled) or (TransportSpec(type=DIALLED_IN),)

    async def _connect(
        self, link: Link, node: Node, spec: TransportSpec, connect_timeout: int | None
    ) -> tuple[str, Session]:
        try:
            transport = self._transports(spec.type)
        except LookupError as error:
            raise TransportUnavailable(str(error)) from error
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(self._max_retries),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            retry=retry_if_exception_type(Unreachable),
            reraise=True,
        ):
            failed_before = link.failures > 0 or attempt.retry_state.attempt_number > 1
            with attempt:
                async with self._slots_again if failed_before else self._slots:
                    return await self._attempt(transport, node, spec, connect_timeout)
        raise AssertionError("unreachable: AsyncRetrying returns or raises")

    async def _attempt(
        self, transport: Transport, node: Node, spec: TransportSpec, connect_timeout: int | None
    ) -> tuple[str, Session]:
        endpoint = self._endpoints.resolve(node, spec, connect_timeout=connect_timeout)
        began = time.perf_counter()
        try:
            session = await transport.connect(endpoint)
        except TransportError as error:
            self._metrics.connects.labels(spec.type, error.reason).inc()
            raise
        self._metrics.connects.labels(spec.type, "Connected").inc()
        self._metrics.connect_duration.labels(spec.type).observe(time.perf_counter() - began)
        try:
            await self._check_pin(endpoint, session)
            await bindings.bind(self._store, node, endpoint, session.info.host_key, self._clock.now())
        except BaseException:
            await session.aclose()
            raise
        info = session.info
        return f"{endpoint.address}:{endpoint.port} {info.host_key or ''} {info.install_id}", session

    async def _check_pin(self, endpoint: Endpoint, session: Session) -> None:
        """Pin a key seen for the first time before anything is sent; if another won that race, it decides."""
        key = session.info.host_key
        first_contact = endpoint.host_key_policy is HostKeyPolicy.ACCEPT_NEW and not endpoint.host_keys
        if key is None or not first_contact:
            return
        keys = await hostkeys.pin_first(self._store, endpoint.address, endpoint.port, key, self._clock.now())
        if key not in keys:
            raise HostKeyMismatch(
                f"node {endpoint.node} presented a key other than the one just pinned", presented=key
            )

    def _opened(self, link: Link, way: Opened, session: Session) -> None:
        link.session, link.way, link.error = session, way, None
        link.opened_at = self._clock.monotonic()
        session.on_close = lambda: self._lost(link, session)
        session.on_end = self.on_end
        self._metrics.sessions.inc()
        log.info("node connected", node=link.node, transport=way.transport, runner=session.info.runner)

    def _lost(self, link: Link, session: Session) -> None:
        if link.session is session:
            link.session = None
            link.error = Unreachable(f"the connection to node {link.node} was lost")
            now = self._clock.monotonic()
            link.failures = 0 if now - link.opened_at >= _LASTING else link.failures + 1
            link.retry_at = now + (pause(_BACKOFF, link.failures) if link.failures else 0.0)
            self._metrics.sessions.dec()
            log.info("node disconnected", node=link.node)
            self.on_link(link.node)

    def _failed(self, link: Link, error: TransportError) -> None:
        changed = link.error is None or link.error.reason != error.reason
        link.error = error
        link.failures += 1
        wait = _REFUSED_PAUSE if isinstance(error, Refused) else pause(_BACKOFF, link.failures)
        link.retry_at = self._clock.monotonic() + wait
        if isinstance(error, HostKeyMismatch):
            self.on_mismatch(link.uid, error)
            self._metrics.host_key_changes.inc(1 if changed else 0)
        if changed:
            log.warning("cannot connect", node=link.node, reason=error.reason, error=str(error))
