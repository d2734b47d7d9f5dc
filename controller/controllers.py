"""The table of contents: which reconciler watches what, which loops run, in which order they start and stop."""

import asyncio
import math
from contextlib import suppress
from functools import cache, partial

import structlog

from controller.chores import Chores
from controller.dispatch import Dispatcher
from controller.duration import SECOND
from controller.endpoints import Endpoints
from controller.freeze import Freeze
from controller.handover import Handover, Names, Work
from controller.janitor import Janitor
from controller.lanes import Lanes
from controller.membership import LOST
from controller.observations import Observations
from controller.parts import Parts
from controller.pins import Pins
from controller.prober import Prober
from controller.reconcilers.command import CommandReconciler
from controller.reconcilers.node import NodeReconciler
from controller.resources.command import Command
from controller.resources.meta import Resource
from controller.resources.node import Node
from controller.resources.record import Record
from controller.runtime.informer import Informer
from controller.runtime.loops import Supervisor
from controller.runtime.queue import WorkQueue
from controller.runtime.reconcile import Reconciler
from controller.runtime.worker import WorkerPool
from controller.services.loops import ServiceLoops
from controller.shares import Shares
from transports.base import RunStatus

log = structlog.get_logger(__name__)

DRAIN_LIMIT = 2.0
FIRST_VIEW = 1.0
"""Seconds for which a start waits for this server's share."""
AT_ONCE = 500
"""Nodes whose services are forgotten in one go."""


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
        self._key_pins: dict[str, str] = {}
        self._rebinding: set[str] = set()
        self._lanes = Lanes(settings.controller.node_concurrency)
        self._pins = Pins(parts.bulletin, clock)
        self.shares = Shares(parts.membership, self._pins)
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
            mine=self.shares.mine,
        )
        parts.followers.on_first = self._followed
        parts.hub.on_change = self._agent_changed
        parts.hub.is_taken = lambda new: self._pins.is_taken(new.node, new.machine)
        parts.metrics.agents.set_function(lambda: len(parts.hub))
        parts.metrics.replica_members.set_function(lambda: len(self.shares.live))
        self._dispatcher.on_link = self._link_changed
        self._dispatcher.on_end = self._run_ended
        self._dispatcher.on_mismatch = lambda uid, error: self._observations.of(uid).mismatch(error)
        self._dispatcher.on_rebind = lambda uid, error: self._observations.of(uid).rebinding(error)
        self._janitor = Janitor(store, self._dispatcher)
        self._supervisor = Supervisor(clock, self._progress)
        self._node_reconciler = self._make_node_reconciler(node_timeout)
        self._nodes = self._pool("Node", self._node_reconciler)
        self._commands = self._pool("Command", self._command_reconciler(node_timeout))
        self._prober = self._make_prober()
        self._services = ServiceLoops(
            parts, self._dispatcher, endpoints.policy, mine=self.shares.mine, wake=self.wake_node
        )
        self._informer = Informer(store, ("Node", "Command", "HostKeyPin"), (self._heard,))
        self._handover = Handover(
            store=store,
            shares=self.shares,
            pins=self._pins,
            work=Work(release=self._release, take=self._take, hang_up=parts.hub.overtaken),
            clock=clock,
            metrics=parts.metrics,
        )
        self._place = Supervisor(clock)
        self._chores = Chores(parts, shares=self.shares, handover=self._handover, janitor=self._janitor)
        parts.services.is_own = self._handover.holds

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the loops: what knows, what shares, what acts.

        A server that has its store for itself has its place at once; where others have to make room first, it goes on
        without waiting for them.
        """
        await self._informer.begin()
        start = self._supervisor.start
        start("informer", self._informer.round)
        start("handover", self._handover.round)
        self._place.start("membership", self._share, limit=math.inf)
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_VIEW):
                await self._handover.settled.wait()
        await self._forget_services()
        start("nodes", self._nodes.round)
        start("commands", self._commands.round)
        start("prober", self._prober.round)
        self._services.start(self._supervisor)
        start("resync", self._resync, limit=self._interval + 60)
        self._chores.start(self._supervisor)
        for name, seconds in self._supervisor.limits().items():
            self._parts.metrics.loop_limit.labels(name).set(seconds)
            self._progress(name)

    async def aclose(self) -> None:
        """Stop intake, let workers finish within a limit, close connections, give up the place. Runs go on."""
        await self._supervisor.aclose()
        await asyncio.gather(self._prober.aclose(), self._services.aclose())
        await asyncio.gather(self._nodes.drain(DRAIN_LIMIT), self._commands.drain(DRAIN_LIMIT))
        await self._dispatcher.aclose()
        await self._place.aclose()

    async def _share(self) -> None:
        """Have a place among the servers on the store. Should that end, nothing is this server's any more."""
        try:
            await self._parts.membership.run(self._handover.on_view)
        finally:
            await self._handover.on_view(LOST)

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
    def has_place(self) -> bool:
        """Whether this server is one of those on its store, as far as it knows."""
        return self._parts.membership.view() != LOST

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
            shares=self.shares,
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
            shares=self.shares,
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
            mine=self.shares.mine,
        )

    # -- what is handed over ---------------------------------------------------------------------------------------

    async def _release(self, kept: Names, limit: float) -> None:
        """End what is done for all other nodes. No new step begins there: each asks whose the node is."""
        await asyncio.gather(
            self._prober.keep(kept),
            self._services.keep(kept),
            self._nodes.release(lambda name: not self.shares.mine(name), limit),
            self._commands.release(self._is_others, limit),
        )
        self._dispatcher.keep(kept)
        self._observations.keep(kept)
        self._janitor.keep(kept.values())

    def _is_others(self, name: str) -> bool:
        command = self._parts.store.get("Command", name)
        return not isinstance(command, Command) or not self.shares.mine(command.spec.node)

    def _take(self, taken: Names) -> None:
        """Begin to work on these nodes, as after a start."""
        for uid, name in taken.items():
            node = self._parts.store.get("Node", name)
            if isinstance(node, Node) and node.uid == uid:
                self._nodes.queue.add(name)
                self._services.take(node)
        self._wake_commands_of_gone()
        if not taken:
            return
        names = set(taken.values())
        for command in self._parts.store.list("Command").items:
            if isinstance(command, Command) and command.spec.node in names:
                self._take_command(command)

    def _take_command(self, command: Command) -> None:
        if command.ended:
            self._janitor.note(command)
        if not command.ended or command.status.phase == "unknown":
            self._commands.queue.add(command.name)

    # -- what wakes whom -------------------------------------------------------------------------------------------

    def _heard(self, obj: Resource, there: bool) -> None:  # noqa: FBT001 - the informer's listener
        self._chores.garbage.heard(obj, there=there)
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
        if self.shares.mine(node.name):
            self._nodes.queue.add(node.name)
        if there:
            self._parts.node_log.heard(node)
            self._heard_binding(node)
            self._services.heard(node)
        else:
            self._forget(node)
        if not there or node.status.observed_generation != node.metadata.generation:
            self._wake_commands(node.name)

    def _heard_pin(self, pin: Record) -> None:
        """A key was pinned or accepted: what was refused may be let in now. A resync is no news."""
        if self._key_pins.get(pin.name) == pin.metadata.resource_version:
            return
        self._key_pins[pin.name] = pin.metadata.resource_version
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
        elif self.shares.mine(command.spec.node):
            if command.ended:
                self._janitor.note(command)
            elif news:
                self._commands.queue.add(command.name)

    def _link_changed(self, node: str) -> None:
        self._nodes.queue.add(node)
        self._wake_commands(node)

    def _agent_changed(self, node: str, uid: str) -> None:
        """The node's agent has dialled in, or is gone."""
        dialled = self._parts.hub.dialled(node)
        if dialled is None:
            self._pins.went(node)
        else:
            self._pins.came(node, dialled.machine)
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

    def _wake_commands_of_gone(self) -> None:
        """Such a node is handed over by nobody, and its commands have to end all the same."""
        for node in self._lanes.nodes():
            if self._parts.store.get("Node", node) is None:
                self._wake_commands(node)

    def _forget(self, node: Node) -> None:
        self._rebinding.discard(node.uid)
        self._parts.contacts.forget(node.uid)
        self._observations.forget(node.uid)
        self._services.forget(node.uid)
        self._pins.forget(node.name)
        self._parts.node_log.forget(node.uid)
        self._dispatcher.forget(node.uid)
        self._parts.hub.forget(node.name, node.uid)

    # -- rounds of the small loops ---------------------------------------------------------------------------------

    async def _resync(self) -> None:
        await asyncio.sleep(self._interval)
        self._informer.resync()
        present = {node.uid for node in self._parts.store.list("Node").items}
        self._parts.contacts.prune(present)
        self._parts.services.prune(present)
        for node in self._lanes.nodes():
            self._wake_commands(node)

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
