"""What a member says of the agents that have dialled in to it (contract A-6)."""

from controller.bulletin import Heard, Value
from controller.pins import PINNED, SEEN, Pins
from tests.support.virtualtime import VirtualClock, run

FIRST, SECOND = ("install", "first boot"), ("install", "second boot")


class Posts:
    """A bulletin of which one sees what is posted."""

    def __init__(self) -> None:
        self.up: dict[tuple[str, str], Value] = {}
        self.heard: dict[str, Heard] = {}

    def post(self, topic: str, key: str, value: Value | None) -> None:
        """It is there from now on."""
        if value is None:
            self.up.pop((topic, key), None)
        else:
            self.up[topic, key] = value

    def listen(self, topic: str, heard: Heard) -> None:
        """`heard` can be called."""
        self.heard[topic] = heard


def member() -> tuple[Pins, Posts]:
    """A member of two, and what it says."""
    posts = Posts()
    pins = Pins(posts, VirtualClock())
    pins.listen()
    pins.turn("me", frozenset({"me", "other"}))
    return pins, posts


def test_a_pin_of_the_member_that_it_was_ends_too() -> None:
    """An agent that hung up while its server had no place is pinned to nobody, whenever it is told."""

    async def scene() -> None:
        pins, posts = member()
        pins.came("n", FIRST)
        pins.tell(pins.notice())
        assert posts.up[PINNED, "n"]["at"] is not None
        pins.went("n")
        pins.turn("me again", frozenset({"me again", "other"}))
        pins.tell(pins.notice())
        assert posts.up[PINNED, "n"]["at"] is None

    run(scene())


def test_nothing_is_left_of_a_node_that_is_gone() -> None:
    """Be its agent still there, or gone before; and be its pin here or elsewhere."""

    async def scene() -> None:
        pins, posts = member()
        for node in ("connected", "left"):
            pins.came(node, FIRST)
        posts.heard[PINNED]("elsewhere", "other", {"at": 1.0, "member": "other", "machine": list(FIRST)})
        pins.apply(pins.heard(), lambda node: True)
        pins.tell(pins.notice())
        pins.went("left")
        pins.tell(pins.notice())
        assert {key for _, key in posts.up} == {"connected", "left", "elsewhere"}
        assert (SEEN, "elsewhere") in posts.up
        for node in ("connected", "left", "elsewhere"):
            pins.forget(node)
        assert not posts.up
        posts.heard[PINNED]("elsewhere", "other", {"at": 2.0, "member": "other", "machine": list(FIRST)})
        pins.apply(pins.heard(), lambda node: False)
        assert pins.decide("elsewhere", hashed=True, views=[frozenset({"me", "other"})])

    run(scene())


def test_a_machine_that_has_booted_is_known_by_its_new_boot() -> None:
    """Also if its new connection came before the old one was known to be dead: others would take it for another."""

    async def scene() -> None:
        pins, posts = member()
        pins.came("n", FIRST)
        pins.came("n", SECOND)
        pins.tell(pins.notice())
        assert posts.up[PINNED, "n"]["machine"] == list(SECOND)

    run(scene())
