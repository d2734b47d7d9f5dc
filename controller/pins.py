"""Where agents have dialled in: a node whose agent is connected to a member belongs to that member.

    came ──► "agents": pinned since t ──► every other member stops, then says "agents.seen": pinned since t, seen ──►
    the node is this member's ──► gone: it stops, then says so ──► the node is its again who owns it by its name

So here, too, nobody begins before everybody else has stopped. Of several pins of one node the latest counts: the
agent is where it dialled in last. What a member that is gone has said does not count any more, and nothing else takes
back what was said: a bulletin that lost everything says nothing about anybody.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from controller.bulletin import Bulletin, Value
from controller.runtime.clock import Clock

PINNED: Final = "agents"
SEEN: Final = "agents.seen"
_TICK: Final = 1e-3
_OUTDATED: Final = ("", 0.0)
"""What was told under another id, and has to be told again."""

T = TypeVar("T")

Members = frozenset[str]
Machine = tuple[str, str]
"""What tells two machines apart: the id of the node's files, empty where there is none, and the boot id."""


@dataclass(frozen=True, slots=True)
class Pin:
    """An agent's connection to a member, as of a time that grows with every new one."""

    at: float
    member: str
    machine: Machine


@dataclass(frozen=True, slots=True)
class Notice:
    """What a member has to say once it has stopped what is not its own: of each node its own pin and the latest."""

    own: dict[str, Pin]
    latest: dict[str, Pin]


class Pins:
    """The pins of all members, and who has seen this one's."""

    def __init__(self, bulletin: Bulletin, clock: Clock) -> None:
        self._bulletin = bulletin
        self._clock = clock
        self._me = ""
        self._live: Members = frozenset()
        self._own: dict[str, Pin] = {}
        self._heard: defaultdict[str, dict[str, Pin]] = defaultdict(dict)
        self._seen: defaultdict[str, dict[str, tuple[str, float]]] = defaultdict(dict)
        self._told: dict[tuple[str, str], tuple[str, float] | None] = {}
        self._inbox: list[tuple[str, str, str, Value | None]] = []
        self._unposted: set[tuple[str, str]] = set()
        self._last = 0.0
        self.on_change: Callable[[], None] = lambda: None
        """Called when a node may belong to another member now."""

    def listen(self) -> None:
        """Hear of the others' pins from now on."""
        for topic in (PINNED, SEEN):
            self._bulletin.listen(topic, partial(self._take_in, topic))

    # -- what happens here -----------------------------------------------------------------------------------------

    def came(self, node: str, machine: Machine) -> None:
        """The node's agent is connected to this member."""
        if node not in self._own or self._own[node].machine != machine:
            latest = max((pin.at for pin in self._heard.get(node, {}).values()), default=self._last)
            self._last = max(self._clock.now().timestamp(), self._last + _TICK, latest + _TICK)
            self._own[node] = Pin(self._last, self._me, machine)
            self.on_change()

    def went(self, node: str) -> None:
        """It is not any more."""
        if self._own.pop(node, None) is not None:
            self.on_change()

    def turn(self, me: str, live: Members) -> None:
        """This member's id, and who is live."""
        if me != self._me:
            self._me = me
            self._told = dict.fromkeys(self._told, _OUTDATED)
            self._own = {node: Pin(pin.at, me, pin.machine) for node, pin in self._own.items()}
        self._live = live
        for node, member in [entry for entry in self._unposted if entry[1] not in live]:
            self._unposted.discard((node, member))
            _take_out(self._heard, node, member)
            _take_out(self._seen, node, member)

    def forget(self, node: str) -> None:
        """The node is gone."""
        self._own.pop(node, None)
        self._heard.pop(node, None)
        self._seen.pop(node, None)
        for topic in (PINNED, SEEN):
            if (topic, node) in self._told:
                del self._told[topic, node]
                self._bulletin.post(topic, node, None)

    # -- whose is it -----------------------------------------------------------------------------------------------

    def decide(self, node: str, *, hashed: bool, views: Iterable[Members]) -> bool:
        """Whether a node is this member's, which owns it by its name or not, under all those views."""
        if node not in self._own and node not in self._heard:
            return hashed
        latest = self.latest(node)
        if latest is None:
            return hashed
        if latest.member != self._me:
            return False
        alone = hashed and not any(True for _ in self._others(node))
        return alone or all(self._is_seen(node, latest, view) for view in views)

    def latest(self, node: str) -> Pin | None:
        """The pin that counts."""
        pins = [*self._others(node), *filter(None, (self._own.get(node),))]
        return max(pins, key=lambda pin: (pin.at, pin.member), default=None)

    def is_taken(self, node: str, machine: Machine) -> bool:
        """Whether another machine is connected to another member as that node."""
        return any(pin.machine[0] and machine[0] and pin.machine != machine for pin in self._others(node))

    def overtaken(self) -> list[str]:
        """Nodes whose agent is connected here, and has dialled in to another member since."""
        return [node for node in self._own if (pin := self.latest(node)) is not None and pin.member != self._me]

    # -- saying and hearing ----------------------------------------------------------------------------------------

    def notice(self) -> Notice:
        """What there is to say, as of now."""
        latest = {node: pin for node in (*self._heard,) if (pin := self.latest(node)) is not None}
        return Notice(dict(self._own), latest)

    def tell(self, notice: Notice) -> None:
        """Say it: this member works on none of the nodes that were not its own then."""
        for node in notice.own.keys() | {node for topic, node in self._told if topic == PINNED}:
            self._say(PINNED, node, notice.own.get(node))
        for node, pin in notice.latest.items():
            if pin.member != self._me:
                self._say(SEEN, node, pin)

    def heard(self) -> int:
        """How much was heard that has no effect so far."""
        return len(self._inbox)

    def apply(self, heard: int, is_there: Callable[[str], bool]) -> None:
        """Let so much of it have its effect: everything that was written before it was said is known here.

        What comes late, about a node that is gone by then, would stay for whoever has that name next.
        """
        for topic, node, member, value in self._inbox[:heard]:
            if not is_there(node):
                continue
            if topic == PINNED:
                self._heard_pin(node, member, value)
            else:
                self._heard_seen(node, member, value)
        del self._inbox[:heard]

    def _take_in(self, topic: str, node: str, member: str, value: Value | None) -> None:
        self._inbox.append((topic, node, member, value))
        self.on_change()

    def _say(self, topic: str, node: str, pin: Pin | None) -> None:
        said = None if pin is None else (pin.member, pin.at)
        if self._told.get((topic, node), "nothing") == said:
            return
        self._told[topic, node] = said
        if pin is None:
            self._bulletin.post(topic, node, {"at": None})
        else:
            self._bulletin.post(topic, node, {"at": pin.at, "member": pin.member, "machine": list(pin.machine)})

    def _heard_pin(self, node: str, member: str, value: Value | None) -> None:
        match value:
            case None:
                self._unposted.add((node, member))
            case {"at": int(at) | float(at), "machine": [str(install), str(boot)]}:
                self._unposted.discard((node, member))
                self._heard[node][member] = Pin(at, member, (install, boot))
            case _:
                _take_out(self._heard, node, member)

    def _heard_seen(self, node: str, member: str, value: Value | None) -> None:
        match value:
            case {"at": int(at) | float(at), "member": str(pinned)}:
                self._seen[node][member] = (pinned, at)
            case _:
                self._unposted.add((node, member))

    def _others(self, node: str) -> Iterator[Pin]:
        for pin in self._heard.get(node, {}).values():
            if pin.member in self._live and pin.member != self._me:
                yield pin

    def _is_seen(self, node: str, pin: Pin, view: Members) -> bool:
        seen = self._seen.get(node, {})
        return all(seen.get(member) == (pin.member, pin.at) for member in view - {self._me})


def _take_out(entries: dict[str, dict[str, T]], node: str, member: str) -> None:
    if node in entries:
        entries[node].pop(member, None)
        if not entries[node]:
            del entries[node]
