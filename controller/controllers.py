"""The table of contents: which reconciler watches what, which loops run, in which order they start and stop."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import structlog

from controller.admission import Admission
from controller.certificates import PAUSE as CERTIFICATES_PAUSE
from controller.certificates import Certificates
from controller.contacts import Contacts
from controller.credentials import Credentials
from controller.dispatch import Dispatcher
from controller.duration import SECOND
from controller.endpoints import Endpoints, KnownHosts
from controller.followers import Followers
from controller.freeze import Freeze
from controller.janitor import PAUSE as JANITOR_PAUSE
from controller.janitor import Janitor
from controller.lanes import Lanes
from controller.metrics import Metrics
from controller.nodelog import NodeLog
from controller.observations import Observations
from controller.prober import Prober
from controller.reconcilers.command import CommandReconciler
from controller.reconcilers.garbage import PAUSE as GARBAGE_PAUSE
from controller.reconcilers.garbage import Garbage
from controller.reconcilers.node import NodeReconciler
from controller.reconcilers.retention import PAUSE as RETENTION_PAUSE
from controller.reconcilers.retention import Retention
from controller.resources.command import Command
from controller.resources.meta import Resource
from controller.resources.node import Node
from controller.resources.record import Record
from controller.runtime.clock import Clock
from controller.runtime.failpoint import Failpoint
from controller.runtime.informer import Informer
from controller.runtime.loops import Supervisor
from controller.runtime.queue import WorkQueue
from controller.runtime.reconcile import Reconciler
from controller.runtime.worker import WorkerPool
from controller.services.board import ServiceBoard
from controller.services.checker import Checker
from controller.services.discoverer import Discoverer
from controller.services.fromnode import FromNode
from controller.services.performer import Performer
from controller.settings import Settings
from controller.sources.directory import Directory
from controller.sources.manifests import ManifestSource
from controller.sources.told import SourceLog
from controller.store.base import Store
from transports.base import RunStatus, Transport
from transports.checks import Checks
from transports.websocket.hub import Hub

log = structlog.get_logger(__name__)

DRAIN_LIMIT = 2.0
AT_ONCE = 500
"""Nodes whose services are forgotten in one go."""
MANIFESTS_LIMIT = 600.0
"""Seconds that a folder of manifests may take to be applied: a first one may hold a whole fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the controllers are given: everything that touches the world outside."""

    store: Store
    settings: Settings
    clock: Clock
    contacts: Contacts
    services: ServiceBoard
    node_log: NodeLog
    source_log: SourceLog
    followers: Followers
    metrics: Metrics
    transports: Callable[[str], Transport]
    hub: Hub
    known_hosts: KnownHosts
    local_ports: frozenset[int]
    failpoint: Failpoint
    rng: random.Random


class Controllers:
    """All loops of one server."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        settings, store, clock = parts.settings, parts.store, parts.clock
        node_timeout = settings.registry.node_timeout / SECOND
        self._interval = settings.registry.sync_interval / SECOND
        self._probe_interval = settings.registry.health_check_interval / SECOND
        self.freeze = Freeze(
            threshold=settings.controller.freeze_threshold,
            window=max(node_timeout, 4 * self._probe_interval),
            clock=clock,
        )
        self._was_frozen = False
        self._observations = Observations()
        self._pins: dict[str, str] = {}
        self._rebinding: set[str] = set()
        self._lanes = Lanes(settings.controller.node_concurrency)
        endpoints = Endpoints(store, settings.transports, parts.known_hosts, local_ports=parts.local_ports)
        self._dispatcher = Dispatcher(
            store=store,
            endpoints=endpoints,
            transports=parts.transports,
            clock=clock,
            metrics=parts.metrics,
            max_retries=settings.registry.max_retries,
            connect_concurrency=settings.transports.connect_concurrency,
            dialled_in=lambda node: parts.hub.dialled(node) is not None,
        )
        parts.followers.on_first = self._followed
        parts.hub.on_change = self._agent_changed
        parts.metrics.agents.set_function(lambda: len(parts.hub))
        self._dispatcher.on_link = self._link_changed
        self._dispatcher.on_end = self._run_ended
        self._dispatcher.on_mismatch = lambda uid, error: self._observations.of(uid).mismatch(error)
        self._dispatcher.on_rebind = lambda uid, error: self._observations.of(uid).rebinding(error)
        self._certificates = Certificates(
            Credentials(settings.transports.credentials_dir), clock=clock, metrics=parts.metrics
        )
        self._janitor = Janitor(store, self._dispatcher)
        self._retention = Retention(store, clock, settings.retention)
        admission = Admission(
            store=store, clock=clock, contacts=parts.contacts, node_timeout=settings.registry.node_timeout
        )
        self._garbage = Garbage(admission)
        self._manifests = self._manifest_source(admission)
        self._supervisor = Supervisor(clock, self._progress)
        self._node_reconciler = self._make_node_reconciler(node_timeout)
        self._nodes = self._pool("Node", self._node_reconciler)
        self._commands = self._pool("Command", self._command_reconciler(node_timeout))
        self._prober = self._make_prober()
        at_once = settings.services.check_concurrency
        from_node = FromNode(self._dispatcher)
        self._performer = Performer(Checks(endpoints.policy, concurrency=at_once), from_node)
        self._checker = self._make_checker(at_once)
        self._discoverer = self._make_discoverer(from_node)
        self._informer = Informer(store, ("Node", "Command", "HostKeyPin"), (self._heard,))

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the loops: first what acts, then what feeds it."""
        await self._forget_services()
        start = self._supervisor.start
        start("nodes", self._nodes.round)
        start("commands", self._commands.round)
        start("informer", self._informer.round)
        start("prober", self._prober.round)
        start("checker", self._checker.round)
        start("discoverer", self._discoverer.round)
        start("resync", self._resync, limit=self._interval + 60)
        start("retention", self._retain)
        start("janitor", self._clean)
        start("garbage", self._collect)
        start("certificates", self._watch_certificates)
        if self._manifests is not None:
            start("manifests", partial(self._look, self._manifests), limit=MANIFESTS_LIMIT)
        for name, seconds in self._supervisor.limits().items():
            self._parts.metrics.loop_limit.labels(name).set(seconds)
            self._progress(name)

    async def aclose(self) -> None:
        """Stop intake, let the workers finish within a limit, then close the connections. Runs go on."""
        await self._supervisor.aclose()
        await asyncio.gather(self._prober.aclose(), self._checker.aclose(), self._discoverer.aclose())
        await self._performer.aclose()
        await asyncio.gather(self._nodes.drain(DRAIN_LIMIT), self._commands.drain(DRAIN_LIMIT))
        await self._dispatcher.aclose()

    async def _forget_services(self) -> None:
        """How services were when an earlier server looked is not known any more, before anybody asks this one."""
        nodes = self._parts.store.list("Node").items
        names = [node.name for node in nodes if isinstance(node, Node) and node.status.services]
        for start in range(0, len(names), AT_ONCE):
            await asyncio.gather(*map(self._node_reconciler.reconcile, names[start : start + AT_ONCE]))

    def stuck(self) -> list[str]:
        """Names of the loops that make no progress."""
        return self._supervisor.stuck()

    @property
    def frozen(self) -> bool:
        """Whether deliveries are frozen because too many nodes left at once."""
        return self.freeze.frozen

    def wake_node(self, name: str) -> None:
        """Have a node's status brought up to date soon."""
        self._nodes.queue.add(name)

    # -- assembly --------------------------------------------------------------------------------------------------

    def _pool(self, kind: str, reconciler: Reconciler) -> WorkerPool:
        count = cache(partial(self._parts.metrics.reconciles.labels, kind))
        duration = self._parts.metrics.reconcile_duration.labels(kind)

        def account(outcome: str, seconds: float) -> None:
            count(outcome).inc()
            duration.observe(seconds)

        queue = WorkQueue()
        self._parts.metrics.queue_depth.labels(kind).set_function(lambda: len(queue))
        return WorkerPool(kind, queue, reconciler, self._parts.settings.controller.workers, account)

    def _make_node_reconciler(self, node_timeout: float) -> NodeReconciler:
        return NodeReconciler(
            store=self._parts.store,
            contacts=self._parts.contacts,
            observations=self._observations,
            services=self._parts.services,
            clock=self._parts.clock,
            node_timeout=node_timeout,
        )

    def _command_reconciler(self, node_timeout: float) -> CommandReconciler:
        return CommandReconciler(
            store=self._parts.store,
            dispatcher=self._dispatcher,
            lanes=self._lanes,
            freeze=self.freeze,
            followers=self._parts.followers,
            clock=self._parts.clock,
            metrics=self._parts.metrics,
            node_timeout=node_timeout,
            output_cap=self._parts.settings.output.max_bytes,
            failpoint=self._parts.failpoint,
        )

    def _make_prober(self) -> Prober:
        return Prober(
            store=self._parts.store,
            dispatcher=self._dispatcher,
            contacts=self._parts.contacts,
            observations=self._observations,
            freeze=self.freeze,
            interval=self._probe_interval,
            clock=self._parts.clock,
            rng=self._parts.rng,
            metrics=self._parts.metrics,
            wake=self.wake_node,
        )

    def _make_checker(self, at_once: int) -> Checker:
        return Checker(
            store=self._parts.store,
            board=self._parts.services,
            perform=self._performer.perform,
            concurrency=at_once,
            clock=self._parts.clock,
            rng=self._parts.rng,
            metrics=self._parts.metrics,
            wake=self.wake_node,
        )

    def _make_discoverer(self, from_node: FromNode) -> Discoverer:
        settings = self._parts.settings.services
        return Discoverer(
            store=self._parts.store,
            board=self._parts.services,
            from_node=from_node,
            by_default=settings.discovery,
            interval=settings.discovery_interval / SECOND,
            units=settings.discovery_units,
            clock=self._parts.clock,
            rng=self._parts.rng,
            metrics=self._parts.metrics,
            wake=self.wake_node,
        )

    def _manifest_source(self, admission: Admission) -> ManifestSource | None:
        folder = self._parts.settings.sources.manifests
        if folder is None:
            return None
        return ManifestSource(
            Directory(folder),
            store=self._parts.store,
            admission=admission,
            clock=self._parts.clock,
            metrics=self._parts.metrics,
            told=self._parts.source_log,
            interval=self._interval,
        )

    # -- what wakes whom -------------------------------------------------------------------------------------------

    def _heard(self, obj: Resource, there: bool) -> None:  # noqa: FBT001 - the informer's listener
        self._garbage.heard(obj, there=there)
        match obj:
            case Node():
                self._heard_node(obj, there=there)
            case Command():
                self._heard_command(obj, there=there)
            case Record(kind="HostKeyPin"):
                self._heard_pin(obj)
            case _:
                pass

    def _heard_node(self, node: Node, *, there: bool) -> None:
        self._nodes.queue.add(node.name)
        if there:
            self._parts.node_log.heard(node)
            self._heard_binding(node)
            self._checker.heard(node)
        else:
            self._forget(node)
        if not there or node.status.observed_generation != node.metadata.generation:
            self._wake_commands(node.name)

    def _heard_pin(self, pin: Record) -> None:
        """A key was pinned or accepted: what was refused may be let in now. A resync is no news."""
        if self._pins.get(pin.name) == pin.metadata.resource_version:
            return
        self._pins[pin.name] = pin.metadata.resource_version
        self._retry_refused()

    def _heard_binding(self, node: Node) -> None:
        """A place was confirmed for the node's credential: what was refused may be let in now."""
        if node.status.credential_refused is not None:
            self._rebinding.add(node.uid)
        elif node.uid in self._rebinding:
            self._rebinding.discard(node.uid)
            self._retry_refused()

    def _retry_refused(self) -> None:
        for uid in self._dispatcher.retry_refused():
            self._prober.soon(uid)

    def _heard_command(self, command: Command, *, there: bool) -> None:
        news = not self._lanes.knows(command) or command.status.observed_generation != command.metadata.generation
        moved_up = self._lanes.update(command, there=there)
        if moved_up is not None:
            self._commands.queue.add(moved_up)
        if not there:
            self._janitor.forget(command)
        elif command.ended:
            self._janitor.note(command)
        elif news:
            self._commands.queue.add(command.name)

    def _link_changed(self, node: str) -> None:
        self._nodes.queue.add(node)
        self._wake_commands(node)

    def _agent_changed(self, node: str, uid: str) -> None:
        """The node's agent has dialled in, or is gone."""
        self._dispatcher.retry(uid)
        self._prober.soon(uid)
        self._wake_commands(node)

    def _followed(self, name: str) -> None:
        command = self._parts.store.get("Command", name)
        if isinstance(command, Command) and not command.ended:
            self._commands.queue.add(name)

    def _run_ended(self, status: RunStatus) -> None:
        name = self._lanes.name_of(status.run.partition(".")[0])
        if name is not None:
            self._commands.queue.add(name)

    def _wake_commands(self, node: str) -> None:
        for name in (*self._lanes.front(node), *self._lanes.unsettled(node)):
            self._commands.queue.add(name)

    def _forget(self, node: Node) -> None:
        self._rebinding.discard(node.uid)
        self._parts.contacts.forget(node.uid)
        self._observations.forget(node.uid)
        self._checker.forget(node.uid)
        self._performer.forget(node.uid)
        self._parts.services.forget(node.uid)
        self._parts.node_log.forget(node.uid)
        self._dispatcher.forget(node.uid)
        self._parts.hub.forget(node.name, node.uid)

    # -- rounds of the small loops ---------------------------------------------------------------------------------

    async def _resync(self) -> None:
        await asyncio.sleep(self._interval)
        self._informer.resync()
        for node in self._parts.store.list("Node").items:
            self._wake_commands(node.name)

    async def _retain(self) -> None:
        await asyncio.sleep(RETENTION_PAUSE)
        await self._retention.sweep()

    async def _collect(self) -> None:
        await asyncio.sleep(GARBAGE_PAUSE)
        await self._garbage.sweep()

    async def _clean(self) -> None:
        await asyncio.sleep(JANITOR_PAUSE)
        await self._janitor.sweep()

    async def _watch_certificates(self) -> None:
        await self._certificates.look()
        await asyncio.sleep(CERTIFICATES_PAUSE)

    async def _look(self, source: ManifestSource) -> None:
        await asyncio.sleep(self._parts.settings.sources.poll_interval / SECOND)
        await source.look()

    def _progress(self, loop: str) -> None:
        self._parts.metrics.loop_success.labels(loop).set(self._parts.clock.now().timestamp())
        if loop == "prober":
            self._note_freeze()

    def _note_freeze(self) -> None:
        """Say when deliveries stop and when they go on; what was held then must not wait for its next look."""
        was, self._was_frozen = self._was_frozen, self.frozen
        self._parts.metrics.frozen.set(self._was_frozen)
        if self._was_frozen and not was:
            log.warning("deliveries frozen: too many nodes became unreachable at once", lost=self.freeze.lost)
        elif was and not self._was_frozen:
            log.info("deliveries go on")
            for node in self._parts.store.list("Node").items:
                self._wake_commands(node.name)
