"""Events that follow from what is known anyway: nothing is ever written for them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from api.context import Context
from controller.nodelog import Happening
from controller.resources.command import Command
from controller.resources.meta import API_VERSION, ObjectMeta, Resource
from controller.resources.node import Node
from controller.resources.record import Record
from controller.resources.types import rfc3339
from controller.timeline import SENTENCES, Phase, timeline

COMPONENT: Final = "vendetta-controller"
NAMESPACE: Final = "default"
_MANIFESTS: Final = Resource(kind="ManifestSource", metadata=ObjectMeta(name="manifests", uid="manifests"))
"""What events of the folder of manifests are about: nothing that is stored."""
KEPT: Final = timedelta(hours=1)
"""For how long what happened is listed, unless it is asked for by the object's name."""

_SHOWN: Final = {
    Phase.QUEUED: "Queued",
    Phase.WAITING: "Waiting",
    Phase.SENT: "Sent",
    Phase.CLAIMED: "Claimed",
    Phase.REATTACHING: "Reattaching",
    Phase.CANCELLING: "Cancelling",
    Phase.UNKNOWN: "Unknown",
}
_WARNINGS: Final = frozenset({Phase.WAITING, Phase.REATTACHING, Phase.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event, before it takes a shape."""

    about: Resource
    reason: str
    message: str
    warning: bool
    first: datetime
    last: datetime
    count: int = 1

    @property
    def name(self) -> str:
        """`<object>.<hash>`: the same for the same thing, each time it is told."""
        key = f"{self.about.uid}\n{self.reason}\n{rfc3339(self.first)}"
        return f"{self.about.name}.{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    @property
    def core(self) -> dict[str, Any]:
        """The event in the shape of core/v1."""
        meta = {
            "name": self.name,
            "namespace": NAMESPACE,
            "uid": f"{self.about.uid}-{self.name.rpartition('.')[2]}",
            "creationTimestamp": _whole(self.first),
            "resourceVersion": self.about.metadata.resource_version,
        }
        return {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": meta,
            "involvedObject": {
                "kind": self.about.kind,
                "name": self.about.name,
                "uid": self.about.uid,
                "apiVersion": API_VERSION,
            },
            "reason": self.reason,
            "message": self.message,
            "type": "Warning" if self.warning else "Normal",
            "source": {"component": COMPONENT},
            "firstTimestamp": _whole(self.first),
            "lastTimestamp": _whole(self.last),
            "count": self.count,
            "eventTime": None,
            "reportingComponent": COMPONENT,
            "reportingInstance": "",
        }


def told_events(context: Context, name: str | None) -> Iterator[Told]:
    """Events of all objects of late, or of those with that name whenever they were."""
    horizon = None if name is not None else context.clock.now() - KEPT
    for kind in ("Node", "Command"):
        named = context.store.get(kind, name) if name is not None else None
        for obj in context.store.list(kind).items if name is None else [named] if named is not None else []:
            yield from (event for event in _of(context, obj) if horizon is None or event.last >= horizon)
    if name in (None, _MANIFESTS.name):
        told = (_happened(_MANIFESTS, happening) for happening in context.source_log.all())
        yield from (event for event in told if horizon is None or event.last >= horizon)


def reported_events(context: Context) -> Iterator[Record]:
    """What others have reported."""
    yield from (record for record in context.store.list("Event").items if isinstance(record, Record))


def _of(context: Context, obj: Resource) -> Iterator[Told]:
    if isinstance(obj, Node):
        yield from _of_node(context, obj)
    elif isinstance(obj, Command):
        yield from _of_command(obj)


def _of_node(context: Context, node: Node) -> Iterator[Told]:
    for happening in context.node_log.of(node.uid):
        yield _happened(node, happening)


def _happened(about: Resource, happening: Happening) -> Told:
    return Told(
        about=about,
        reason=happening.reason,
        message=happening.message,
        warning=happening.warning,
        first=happening.first,
        last=happening.last,
        count=happening.count,
    )


def _of_command(command: Command) -> Iterator[Told]:
    for moment in timeline(command):
        ended = moment.phase in {Phase.COLLECTED, Phase.ENDED}
        reason = moment.reason if ended else _SHOWN.get(moment.phase)
        if reason is None:
            continue
        yield Told(
            about=command,
            reason=reason,
            message=moment.message or SENTENCES.get(moment.phase, reason),
            warning=command.status.phase != "success" if ended else moment.phase in _WARNINGS,
            first=moment.at,
            last=moment.at,
        )


def _whole(at: datetime) -> str:
    """Kubernetes' times have no fractions."""
    return rfc3339(at.replace(microsecond=0))
