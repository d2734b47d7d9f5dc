"""Cleans up on nodes: scripts and output of runs whose outcome is stored here are dropped there, in slow batches.

The claims stay on the node, so a late duplicate still does nothing. What was noted for cleaning is not stored: after
a restart every finished command is noted again, and cleaning twice does no harm. Not often, since ext4 makes the
creation of files slow for a while after many were removed.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection

import structlog

from controller.dispatch import Dispatcher
from controller.reconcilers.runs import run_id
from controller.resources.command import Command
from controller.resources.node import Node
from controller.store.base import Store
from transports.base import RunId
from transports.errors import TransportError

log = structlog.get_logger(__name__)

PAUSE = 30.0
BATCH, BATCHES = 100, 20
"""So many runs at a time, and so many times in one sweep, for each node."""
NODE_LIMIT = 5.0
MOST_NOTED = 100_000


class Janitor:
    """Runs to forget, by node name; what is clean is remembered as long as its command is there."""

    def __init__(self, store: Store, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._due: defaultdict[str, dict[RunId, str]] = defaultdict(dict)
        self._noted = 0
        self._cleaned: set[RunId] = set()

    def note(self, command: Command) -> None:
        """A command's outcome is stored for good: its run may be forgotten on the node."""
        delivery = command.status.delivery
        settled = command.ended and command.status.phase != "unknown"
        if not settled or delivery is None or delivery.boot_id is None or self._noted >= MOST_NOTED:
            return
        runs = self._due[command.spec.node]
        if run_id(command) not in runs and run_id(command) not in self._cleaned:
            runs[run_id(command)] = command.name
            self._noted += 1

    def forget(self, command: Command) -> None:
        """The command itself is removed."""
        self._cleaned.discard(run_id(command))

    def keep(self, names: Collection[str]) -> None:
        """Leave all other nodes to others."""
        for name in self._due.keys() - set(names):
            self._noted -= len(self._due.pop(name))

    async def sweep(self) -> None:
        """Clean each node that is connected. A node that hangs holds up no other."""
        nodes = []
        for name in tuple(self._due):
            node = self._store.get("Node", name)
            if isinstance(node, Node) and self._due[name]:
                nodes.append(node)
            else:
                self._noted -= len(self._due.pop(name))
        await asyncio.gather(*(self._sweep_node(node) for node in nodes))

    async def _sweep_node(self, node: Node) -> None:
        for _ in range(BATCHES):
            if not self._due.get(node.name) or not await self._clean(node):
                return

    async def _clean(self, node: Node) -> bool:
        """One batch; whether the node took it."""
        runs = self._due[node.name]
        batch = list(runs)[:BATCH]
        try:
            async with asyncio.timeout(NODE_LIMIT):
                await self._dispatcher.session(node).gc(batch)
        except (TransportError, TimeoutError) as error:
            log.debug("cleaning later", node=node.name, reason=type(error).__name__)
            return False
        if self._due.get(node.name) is not runs:
            return False
        self._cleaned.update(run for run in batch if self._store.get("Command", runs[run]) is not None)
        for run in batch:
            del runs[run]
        self._noted -= len(batch)
        if not runs:
            del self._due[node.name]
        return True
