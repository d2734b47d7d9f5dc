"""Counting what is in the store, for health and metrics: once for each revision, and not once for each question."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from api.v1.flat import status_of
from controller.resources.command import Command
from controller.resources.node import Node, is_active
from controller.store.base import Store

MAX_PROVIDERS: Final = 20
"""Providers counted by name in Prometheus; the text is the clients' own, and a label must not grow without end."""
SERVICE_STATUSES: Final = ("running", "degraded", "failed", "unknown")
"""Of services without a check the status is whatever their node reports: all the rest is counted as one."""
STALE_REASONS: Final = ("check", "node")
"""Why nothing is known of a service: it was not looked at although its node is active, or its node is not active."""
_PATIENCE: Final = 20
"""A count that took long is reused for so many times as long, so that asking often costs at most 5 % of a core."""
_LONG: Final = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """The numbers at one revision."""

    nodes: int = 0
    by_status: Mapping[str, int] = field(default_factory=dict)
    by_provider: Mapping[str, int] = field(default_factory=dict)
    nodes_by_status_and_provider: Mapping[tuple[str, str], int] = field(default_factory=dict)
    services: int = 0
    services_by_status: Mapping[str, int] = field(default_factory=dict)
    services_stale: Mapping[str, int] = field(default_factory=dict)
    """Services of which nothing is known any more, by why."""
    commands_by_status: Mapping[str, int] = field(default_factory=dict)
    oldest_pending: datetime | None = None
    """When the command that waits longest was accepted."""

    @property
    def active(self) -> int:
        """Nodes that work is delivered to."""
        return self.by_status.get("active", 0)


class Counted:
    """The newest census of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._census = Census()
        self._revision = -1
        self._fresh_until = 0.0

    def census(self) -> Census:
        """Return the numbers as they are; in a big fleet that changes fast, as they were a moment ago."""
        begun = time.monotonic()
        if self._store.revision() == self._revision or begun < self._fresh_until:
            return self._census
        self._revision = self._store.revision()
        cpu = time.thread_time()
        self._census = _take(self._store)
        took = time.thread_time() - cpu
        self._fresh_until = begun + _PATIENCE * took if took > _LONG else 0.0
        return self._census


def _take(store: Store) -> Census:
    pairs: Counter[tuple[str, str]] = Counter()
    services: Counter[str] = Counter()
    stale: Counter[str] = Counter()
    declared = 0
    for node in store.list("Node").items:
        if isinstance(node, Node):
            pairs[status_of(node), node.spec.provider] += 1
            declared += len(node.spec.services)
            services.update(s.status if s.status in SERVICE_STATUSES else "other" for s in node.status.services)
            stale["check" if is_active(node) else "node"] += sum(s.stale for s in node.status.services)
    commands: Counter[str] = Counter()
    pending: list[datetime] = []
    for command in store.list("Command").items:
        if isinstance(command, Command):
            commands[command.status.phase] += 1
            if command.status.phase == "pending" and command.status.queued is not None:
                pending.append(command.status.queued)
    return Census(
        nodes=pairs.total(),
        by_status=_sum(pairs, 0),
        by_provider=_sum(pairs, 1),
        nodes_by_status_and_provider=_bounded(pairs),
        services=declared,
        services_by_status={status: services[status] for status in (*SERVICE_STATUSES, "other")},
        services_stale={reason: stale[reason] for reason in STALE_REASONS},
        commands_by_status=dict(sorted(commands.items())),
        oldest_pending=min(pending, default=None),
    )


def _sum(pairs: Counter[tuple[str, str]], index: int) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for pair, count in pairs.items():
        sums[pair[index]] += count
    return dict(sorted(sums.items()))


def _bounded(pairs: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Keep the most common providers by name, and sum up the others."""
    sums: Counter[str] = Counter()
    for (_, provider), count in pairs.items():
        sums[provider] += count
    named = {provider for provider, _ in sums.most_common(MAX_PROVIDERS)}
    bounded: Counter[tuple[str, str]] = Counter()
    for (status, provider), count in pairs.items():
        bounded[status, provider if provider in named else "other"] += count
    return dict(sorted(bounded.items()))
