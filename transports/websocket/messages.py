"""What an agent that dialled in and the server say to each other: JSON, a text frame each, told apart by `type`.

    agent → server   hello, heartbeat, answered, ended
    server → agent   asked

The hello comes first and says who answers. A heartbeat comes at least as often as it announces; a side that hears
nothing for three of them has lost the other. Answers come in any order, under the id of what was asked.
"""

import json
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from transports.base import RunStatus, SessionInfo
from transports.wire import Malformed, dump, load


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who dialled in, and every how many seconds a heartbeat will come."""

    type: ClassVar[str] = "hello"
    info: SessionInfo
    version: str
    heartbeat: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Still there."""

    type: ClassVar[str] = "heartbeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run has ended: a hint, which may get lost with the connection."""

    type: ClassVar[str] = "ended"
    status: RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """`body` is what `transports.verbs` makes of an answer or an error."""

    type: ClassVar[str] = "answered"
    id: int
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`body` is a verb as in `transports.verbs`."""

    type: ClassVar[str] = "asked"
    id: int
    body: Any


FromAgent = Hello | Heartbeat | Ended | Answered
Message = FromAgent | Asked

_KINDS: dict[str, Any] = {kind.type: kind for kind in (Hello, Heartbeat, Ended, Answered, Asked)}


def encode(message: Message) -> str:
    """The text of a frame."""
    return json.dumps({"type": message.type, **dump(message)}, separators=(",", ":"))


def decode(text: str) -> Message:
    """The message in a frame. Raises Malformed."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    kind = _KINDS.get(str(value.get("type"))) if isinstance(value, dict) else None
    if kind is None:
        raise Malformed(f"no message: one of {', '.join(_KINDS)} expected")
    return cast("Message", load(kind, value))
