"""How each service is at this moment: what the API shows. Kept in memory, for after a restart nothing is known.

A service of a node that is not active, and one whose last check is too long ago, reads `unknown` and stale.

The server that works on a node tells the others how its services are; whoever works on it next goes on from there.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from controller.bulletin import Bulletin, Unread, Value
from controller.duration import SECOND
from controller.resources.node import Node, is_active
from controller.resources.service import Service, ServiceStatus
from controller.runtime.clock import Clock
from controller.services.findings import beside
from controller.services.health import Health
from controller.services.posts import FOUND, HEALTH, FoundPost, read_found, read_health, written_found, written_health
from transports.checks import Outcome

_BLANK: Final = ServiceStatus(id="blank")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found on a node, when, and until when (monotonic) it is known to be there."""

    services: tuple[ServiceStatus, ...]
    at: datetime
    valid_until: float


class ServiceBoard:
    """Health by node uid and service id, and what was found by node uid."""

    def __init__(self, clock: Clock, bulletin: Bulletin = Unread()) -> None:  # noqa: B008 - it has no state
        self._clock = clock
        self._bulletin = bulletin
        self._health: dict[str, dict[str, Health]] = {}
        self._found: dict[str, Found] = {}
        self._told: set[str] = set()
        self.is_own: Callable[[str], bool] = lambda node_uid: False
        """Whether this server works on that node: then it knows better than the others."""
        bulletin.listen(HEALTH, self._heard_health)
        bulletin.listen(FOUND, self._heard_found)

    def note(self, node_uid: str, service: Service, outcome: Outcome) -> bool:
        """A check has ended; whether that is news. The service has one."""
        assert service.check is not None
        health = self._health.setdefault(node_uid, {}).setdefault(service.id, Health())
        before = health.news
        health.note(outcome, service.check, self._clock.now(), self._clock.monotonic())
        self._tell_health(node_uid)
        return health.news != before

    def found(self, node_uid: str, services: tuple[ServiceStatus, ...], *, valid_for: float) -> bool:
        """This is all that runs on the node; whether that is news. It is known for so many seconds."""
        before = self._found.get(node_uid)
        until = self._clock.monotonic() + valid_for
        self._found[node_uid] = Found(services=services, at=self._clock.now(), valid_until=until)
        self._tell_found(node_uid)
        return before is None or before.services != services

    def drop(self, node_uid: str, service_id: str) -> None:
        """What was known of a service counts no more: it, its check or its node is another now."""
        if self._health.get(node_uid, {}).pop(service_id, None) is not None:
            self._tell_health(node_uid)

    def forget(self, node_uid: str) -> None:
        """Drop a node that is gone."""
        self._untell(node_uid)
        self._health.pop(node_uid, None)
        self._found.pop(node_uid, None)

    def prune(self, present: Collection[str]) -> None:
        """Drop all nodes but these: another server's word of one may come when it is gone."""
        for node_uid in (self._health.keys() | self._found.keys()) - set(present):
            self.forget(node_uid)

    def take(self, node_uid: str) -> None:
        """This server works on the node from now on: what is known of it is told by this one."""
        if node_uid in self._health:
            self._tell_health(node_uid)
        if node_uid in self._found:
            self._tell_found(node_uid)

    def keep(self, uids: Collection[str]) -> None:
        """Other servers tell of all other nodes. What is known of them holds for its time."""
        for node_uid in self._told - set(uids):
            self._untell(node_uid)

    def look(self, node: Node) -> tuple[ServiceStatus, ...]:
        """How the node's services are, sorted by id."""
        return tuple(sorted(self._each(node), key=lambda s: s.id))

    def of(self, node: Node, service: Service) -> ServiceStatus:
        """How one declared service is."""
        health = self._health.get(node.uid, {}).get(service.id) if service.check is not None else None
        status, message = self._judge(node, service, health)
        return _BLANK.model_copy(  # nothing in it needs to be checked, and there are many
            update={
                "id": service.id,
                "status": status,
                "stale": status == "unknown" and (service.check is not None or not is_active(node)),
                "message": message,
                "last_check": None if health is None else health.checked_at,
                "latency": None if health is None or health.latency is None else int(health.latency * SECOND),
            }
        )

    def _judge(self, node: Node, service: Service, health: Health | None) -> tuple[str, str]:
        """The status and why."""
        if not is_active(node):
            return "unknown", f"node {node.name} is not active"
        if service.check is None:
            return service.status or "unknown", ""
        if health is None:
            return "unknown", "not checked yet"
        if health.phase != "unknown" and self._clock.monotonic() >= health.valid_until:
            return "unknown", "the last check is too long ago"
        return health.phase, health.message

    def _untell(self, node_uid: str) -> None:
        if node_uid in self._told:
            self._told.discard(node_uid)
            self._bulletin.post(HEALTH, node_uid, None)
            self._bulletin.post(FOUND, node_uid, None)

    def _tell_health(self, node_uid: str) -> None:
        self._told.add(node_uid)
        self._bulletin.post(HEALTH, node_uid, written_health(self._health[node_uid], self._clock.monotonic()))

    def _tell_found(self, node_uid: str) -> None:
        self._told.add(node_uid)
        found = self._found[node_uid]
        left = found.valid_until - self._clock.monotonic()
        post = FoundPost(services=found.services, at=found.at, valid_for=left)
        self._bulletin.post(FOUND, node_uid, written_found(post))

    def _heard_health(self, node_uid: str, member: str, value: Value | None) -> None:
        """From whoever works on the node. That it is gone makes what it said no less true."""
        del member
        if value is None or self.is_own(node_uid):
            return
        health = read_health(value, self._clock.monotonic())
        if health is not None:
            self._health[node_uid] = health

    def _heard_found(self, node_uid: str, member: str, value: Value | None) -> None:
        del member
        post = None if value is None or self.is_own(node_uid) else read_found(value)
        if post is not None:
            until = self._clock.monotonic() + post.valid_for
            self._found[node_uid] = Found(services=post.services, at=post.at, valid_until=until)

    def _each(self, node: Node) -> Iterator[ServiceStatus]:
        for service in node.spec.services:
            yield self.of(node, service)
        found = self._found.get(node.uid)
        if found is None:
            return
        for status in beside(node.spec.services, found.services):
            seen = status.model_copy(update={"last_check": found.at})
            if not is_active(node):
                yield _stale(seen, f"node {node.name} is not active")
            elif self._clock.monotonic() >= found.valid_until:
                yield _stale(seen, "the node was not looked at for too long")
            else:
                yield seen


def _stale(status: ServiceStatus, message: str) -> ServiceStatus:
    return status.model_copy(update={"status": "unknown", "stale": True, "message": message})
