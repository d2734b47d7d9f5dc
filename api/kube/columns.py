"""What a table shows of each kind. Columns of priority 1 are for `kubectl get -o wide`."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from api.kube.age import age
from controller.duration import format_duration
from controller.resources.command import Command
from controller.resources.conditions import Conditions, find
from controller.resources.node import HOST_KEY_TRUSTED, REACHABLE, READY, Node, transports_of

NONE: Final = "<none>"
_ACTION: Final = 60
"""Characters that are shown of a command line."""

Cell = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a cell depends on besides its object."""

    now: datetime
    last_seen: Callable[[Node], datetime | None]

    def age(self, at: datetime | None) -> str:
        """How long ago that was."""
        return "<unknown>" if at is None else age((self.now - at).total_seconds())


TIMELESS: Final = Scene(now=datetime.max.replace(tzinfo=UTC), last_seen=lambda node: node.status.last_seen)
"""For cells that depend on their object alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column, and how its cell is made."""

    name: str
    cell: Callable[[Any, Scene], Cell]
    description: str
    priority: Literal[0, 1] = 0
    type: Literal["string", "integer"] = "string"
    format: Literal["", "name"] = ""
    timed: bool = False
    """Whether the cell changes while its object does not."""

    def definition(self) -> dict[str, Cell]:
        """As clients see it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def _condition(conditions: Conditions, kind: str) -> str:
    found = find(conditions, kind)
    return NONE if found is None else found.status


def _transport(node: Node, _scene: Scene) -> str:
    return ",".join(transport.type for transport in transports_of(node))


def _services(node: Node, _scene: Scene) -> str:
    """`2/3`: so many run of all that are known."""
    known = node.status.services
    return f"{sum(s.status == 'running' for s in known)}/{max(len(known), len(node.spec.services))}"


def _exit(command: Command, _scene: Scene) -> str:
    """The exit code, or the signal that ended it."""
    status = command.status
    if status.signal is None:
        return NONE if status.exit_code is None else str(status.exit_code)
    known = {s.value: s.name for s in signal.Signals}
    return known.get(status.signal, f"signal {status.signal}")


def _duration(command: Command, _scene: Scene) -> str:
    duration = command.status.duration
    return NONE if duration is None else format_duration(duration)


def _action(command: Command, _scene: Scene) -> str:
    spec = command.spec
    line = spec.action or " ".join(spec.params.argv or ())
    return "".join(c if c.isprintable() else " " for c in line[:_ACTION]) or NONE


_NAME: Final = Column(name="Name", format="name", cell=lambda obj, _: obj.name, description="Unique for its kind.")
_AGE: Final = Column(
    name="Age",
    cell=lambda obj, scene: scene.age(obj.metadata.creation_timestamp),
    description="Time since it was created.",
    timed=True,
)

_NODE: Final = (
    _NAME,
    Column(name="Status", cell=lambda node, _: node.status.phase, description="The effective status."),
    Column(name="Provider", cell=lambda node, _: node.spec.provider or NONE, description="What kind of machine."),
    Column(name="Address", cell=lambda node, _: node.spec.address or NONE, description="Host name or IP address."),
    Column(name="Transport", cell=_transport, description="How it is reached, in order of preference."),
    Column(
        name="Last-Seen",
        cell=lambda node, scene: scene.age(scene.last_seen(node)),
        description="Time since the last contact.",
        timed=True,
    ),
    _AGE,
    Column(
        name="Ready",
        cell=lambda node, _: _condition(node.status.conditions, READY),
        description="Whether commands can run on it.",
        priority=1,
    ),
    Column(
        name="Reachable",
        cell=lambda node, _: _condition(node.status.conditions, REACHABLE),
        description="Whether it answers probes.",
        priority=1,
    ),
    Column(
        name="Host-Key",
        cell=lambda node, _: _condition(node.status.conditions, HOST_KEY_TRUSTED),
        description="Whether its host key is trusted.",
        priority=1,
    ),
    Column(
        name="Services",
        cell=_services,
        description="How many of its services run, of those that are known.",
        priority=1,
    ),
    Column(
        name="Display-Name",
        cell=lambda node, _: node.spec.display_name or NONE,
        description="A name for people.",
        priority=1,
    ),
)
_COMMAND: Final = (
    _NAME,
    Column(name="Node", cell=lambda command, _: command.spec.node, description="Where it runs."),
    Column(name="Status", cell=lambda command, _: command.status.phase, description="Where it stands."),
    Column(name="Exit", cell=_exit, description="Its exit code, or the signal that ended it."),
    Column(name="Duration", cell=_duration, description="On the node, from start to exit."),
    _AGE,
    Column(name="Reason", cell=lambda command, _: command.status.reason, description="Why.", priority=1),
    Column(
        name="Attempts",
        type="integer",
        cell=lambda command, _: command.status.attempts,
        description="How often it was sent.",
        priority=1,
    ),
    Column(
        name="Requested-By",
        cell=lambda command, _: command.status.requested_by or NONE,
        description="Who sent it.",
        priority=1,
    ),
    Column(name="Action", cell=_action, description="The beginning of what runs.", priority=1),
)

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {"Node": _NODE, "Command": _COMMAND}
