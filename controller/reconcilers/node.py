"""Nodes: from the last contact and the probes to phase and conditions (contract B-3, G-3)."""

from datetime import datetime, timedelta
from typing import Final

import structlog

from controller import bindings
from controller.contacts import Contacts
from controller.observations import Observation, Observations
from controller.resources.conditions import Conditions, ConditionStatus, find, with_condition
from controller.resources.node import (
    CREDENTIAL_REBIND_REQUIRED,
    HOST_KEY_TRUSTED,
    REACHABLE,
    READY,
    HostKey,
    Node,
    NodePhase,
    NodeStatus,
    RefusedBinding,
)
from controller.resources.service import ServiceStatus
from controller.runtime.clock import Clock
from controller.runtime.reconcile import Result
from controller.services.board import ServiceBoard
from controller.shares import Shares
from controller.store.base import Conflict, NotFound, Store, Update
from transports.errors import fingerprint_of

log = structlog.get_logger(__name__)

_MEASURES: Final = ("load", "disk_free_kib")
"""Facts that are another number at each look."""


class NodeReconciler:
    """Writes what is observed of a node into its status. It never connects: the prober does."""

    def __init__(
        self,
        *,
        store: Store,
        contacts: Contacts,
        observations: Observations,
        services: ServiceBoard,
        shares: Shares,
        clock: Clock,
        node_timeout: float,
    ) -> None:
        self._store = store
        self._contacts = contacts
        self._observations = observations
        self._services = services
        self._shares = shares
        self._clock = clock
        self._timeout = timedelta(seconds=node_timeout)
        self._start = clock.now()

    async def reconcile(self, name: str) -> Result:
        """Bring the status up to date; look again when the node would count as unreachable."""
        node = self._store.get("Node", name)
        if not isinstance(node, Node) or not self._shares.mine(name):
            return Result()
        now = self._clock.now()
        status = self._observe(node, now)
        if self._worth_writing(node.status, status):
            try:
                await self._store.write(*_writes(node, status))
            except (Conflict, NotFound):
                return Result(requeue_after=0)
            if status.phase != node.status.phase:
                log.info("node changed", node=name, phase=status.phase, before=node.status.phase)
        return Result(requeue_after=self._look_again(name, status, now))

    def _observe(self, node: Node, now: datetime) -> NodeStatus:
        seen = self._observations.of(node.uid)
        last = self._contacts.last(node.uid, node.status.last_seen)
        phase = self._phase(node, last, now, seen)
        active_since = (node.status.active_since or now) if phase == "active" else None
        status = node.status.model_copy(
            update={
                "phase": phase,
                "last_seen": last,
                "active_since": active_since,
                "observed_generation": node.metadata.generation,
                "facts": _facts(node.status.facts, seen),
                "host_keys": _host_keys(node.status.host_keys, seen, now),
                "credential_refused": _refused(node.status, seen),
                "conditions": _conditions(node.status, seen, phase, now),
            }
        )
        services = self._services.look(node.model_copy(update={"status": status}))
        return status.model_copy(update={"services": _services(node.status.services, services, now)})

    def _phase(self, node: Node, last: datetime | None, now: datetime, seen: Observation) -> NodePhase:
        """Nobody is judged by the time in which this server did not work on the node: silence counts from then on. A
        contact that lies ahead, because somebody set the clock back, proves nothing: then the probes decide.
        """
        since = self._shares.since(node.name, self._start)
        if node.spec.unschedulable:
            return "inactive"
        if last is None:
            return "unknown" if now - since < self._timeout else "unreachable"
        if last > now:
            return "unreachable" if seen.unreachable else "active"
        return "unreachable" if now - max(last, since) >= self._timeout else "active"

    def _worth_writing(self, old: NodeStatus, new: NodeStatus) -> bool:
        """Contacts and measures alone are written once in a while: a heartbeat or a probe costs no disk."""
        if old == new:
            return False
        measures = {name: new.facts[name] for name in _MEASURES if name in new.facts}
        if old.model_copy(update={"last_seen": new.last_seen, "facts": old.facts | measures}) != new:
            return True
        return old.last_seen is None or new.last_seen is None or new.last_seen - old.last_seen >= self._timeout

    def _look_again(self, name: str, status: NodeStatus, now: datetime) -> float | None:
        if status.phase not in {"active", "unknown"}:
            return None
        since = self._shares.since(name, self._start)
        silent_since = max(status.last_seen or since, since)
        return max(0.05, (silent_since + self._timeout - now).total_seconds())


def _writes(node: Node, status: NodeStatus) -> list[Update]:
    """The services in a write of their own: what happens to them is told apart from what happens to the node."""
    without = status.model_copy(update={"services": node.status.services})
    first = Update(obj=node.model_copy(update={"status": without}))
    if status.services == node.status.services:
        return [first]
    new = node.model_copy(update={"status": status})
    if without == node.status:
        return [Update(obj=new)]
    whichever = new.metadata.model_copy(update={"resource_version": ""})
    return [first, Update(obj=new.model_copy(update={"metadata": whichever}))]


def _services(
    old: tuple[ServiceStatus, ...], seen: tuple[ServiceStatus, ...], now: datetime
) -> tuple[ServiceStatus, ...]:
    """How the services are. When one was last checked is written with a change, and is none itself."""
    known = {s.id: s for s in old}
    return tuple(_service(known.get(s.id), s, now) for s in seen)


def _service(old: ServiceStatus | None, seen: ServiceStatus, now: datetime) -> ServiceStatus:
    if old is None:
        return seen.model_copy(update={"since": now})
    live = ["since", "last_check", "latency"] + ["message"] * (seen.status != "unknown")
    if old == seen.model_copy(update={name: getattr(old, name) for name in live}):
        return old
    return seen.model_copy(update={"since": old.since if old.status == seen.status else now})


def _facts(old: dict[str, str], seen: Observation) -> dict[str, str]:
    return old if seen.probe is None else {**seen.probe.facts, "bootID": seen.probe.boot_id}


def _host_keys(old: tuple[HostKey, ...], seen: Observation, now: datetime) -> tuple[HostKey, ...]:
    """The keys that the node presented: the one in use, and one that waits for somebody to trust it."""
    refused = _untrusted(old, seen)
    if refused is not None:
        return _with_key(old, refused, trusted=False, now=now)
    if seen.host_key is not None and seen.answered and seen.error is None:
        return _with_key((), seen.host_key, trusted=True, now=_first_seen(old, seen.host_key) or now)
    return old


def _untrusted(known: tuple[HostKey, ...], seen: Observation) -> str | None:
    """The key that was refused, unless somebody has accepted it since."""
    if seen.untrusted_key is None or not seen.untrusted_key.presented:
        return None
    key = seen.untrusted_key.presented
    return None if any(k.key == key and k.trusted for k in known) else key


def _with_key(old: tuple[HostKey, ...], key: str, *, trusted: bool, now: datetime) -> tuple[HostKey, ...]:
    known = next((k for k in old if k.key == key), None)
    if known is not None and known.trusted == trusted:
        return old
    kept = tuple(k for k in old if k.key != key and k.trusted)
    return (*kept, HostKey(key=key, fingerprint=fingerprint_of(key), trusted=trusted, first_seen=now))


def _first_seen(old: tuple[HostKey, ...], key: str) -> datetime | None:
    return next((k.first_seen for k in old if k.key == key), None)


def _refused(old: NodeStatus, seen: Observation) -> RefusedBinding | None:
    """Where a credential was not used, unless somebody has confirmed it since, or that is no longer wanted."""
    if seen.rebind is None:
        return old.credential_refused if not seen.answered and seen.error is None else None
    refused = bindings.refusal(seen.rebind)
    return None if bindings.allow(old.credentials, refused) else refused


def _rebind(conditions: Conditions, old: NodeStatus, seen: Observation, now: datetime) -> Conditions:
    """True while a credential waits to be confirmed; there only once that was ever the case."""
    if seen.rebind is not None and _refused(old, seen) is not None:
        message = str(seen.rebind)
        return with_condition(
            conditions, CREDENTIAL_REBIND_REQUIRED, "True", CREDENTIAL_REBIND_REQUIRED, message, now
        )
    if _refused(old, seen) is None and find(conditions, CREDENTIAL_REBIND_REQUIRED) is not None:
        return with_condition(conditions, CREDENTIAL_REBIND_REQUIRED, "False", "CredentialBound", "", now)
    return conditions


def _conditions(old: NodeStatus, seen: Observation, phase: NodePhase, now: datetime) -> Conditions:
    status, reason, message = _reachable(old.conditions, seen)
    conditions = with_condition(old.conditions, REACHABLE, status, reason, message, now)
    if _untrusted(old.host_keys, seen) is not None:
        conditions = with_condition(
            conditions, HOST_KEY_TRUSTED, "False", "HostKeyMismatch", str(seen.untrusted_key), now
        )
    elif seen.host_key is not None:
        conditions = with_condition(conditions, HOST_KEY_TRUSTED, "True", "KeyPinned", "", now)
    conditions = _rebind(conditions, old, seen, now)
    return _ready(conditions, phase, status, reason, message, now)


def _reachable(old: Conditions, seen: Observation) -> tuple[ConditionStatus, str, str]:
    """Unknown until the first probe, False after three failures in a row, True after one success (B-3)."""
    if seen.answered and seen.failures == 0:
        return "True", "ProbeSucceeded", ""
    if seen.error is None:
        known = next((c for c in old if c.type == REACHABLE), None)
        return (known.status, known.reason, known.message) if known else ("Unknown", "NotProbed", "")
    if seen.unreachable:
        return "False", seen.error.reason, str(seen.error)
    known = next((c for c in old if c.type == REACHABLE), None)
    return (known.status if known else "Unknown"), seen.error.reason, str(seen.error)


def _ready(
    conditions: Conditions, phase: NodePhase, reachable: ConditionStatus, reason: str, message: str, now: datetime
) -> Conditions:
    """True exactly when the node is active and reachable (G-3)."""
    if phase == "active" and reachable == "True":
        return with_condition(conditions, READY, "True", "ProbeSucceeded", "", now)
    if phase == "inactive":
        return with_condition(conditions, READY, "False", "Cordoned", "nothing new is delivered", now)
    status: ConditionStatus = "Unknown" if reachable == "Unknown" else "False"
    return with_condition(conditions, READY, status, reason, message, now)
