"""What a node is told of a command's place in a trace."""

import pytest

from controller.resources.command import Command, CommandSpec
from controller.resources.meta import ObjectMeta
from controller.tracecontext import TRACEPARENT, environment_of, span_id_of

TRACE = "0af7651916cd43dd8448eb211c80319c"


def command(place: str | None, uid: str = "7f0c") -> Command:
    """A command that a request with that place has made."""
    annotations = {} if place is None else {TRACEPARENT: place}
    return Command(metadata=ObjectMeta(name="c", uid=uid, annotations=annotations), spec=CommandSpec(node="n"))


def test_a_node_is_told_the_commands_own_span_in_the_requests_trace() -> None:
    """The same at each delivery; sampled or not as the request was."""
    told = environment_of(command(f"00-{TRACE}-b7ad6b7169203331-00"))
    assert told == {"TRACEPARENT": f"00-{TRACE}-{span_id_of('7f0c'):016x}-00"}
    assert told == environment_of(command(f"00-{TRACE}-b7ad6b7169203331-00"))
    assert told != environment_of(command(f"00-{TRACE}-b7ad6b7169203331-00", uid="another"))


@pytest.mark.parametrize(
    "place", [None, "", "nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{TRACE}-b7ad6b7169203331-01\n"]
)
def test_a_place_that_makes_no_sense_is_told_to_nobody(place: str | None) -> None:
    """Annotations are anybody's; only what is a place goes into an environment."""
    assert environment_of(command(place)) == {}
