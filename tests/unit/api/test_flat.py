"""The flat JSON and the resources behind it: one translation, both ways, without loss (contract F-2)."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from api.v1.bodies import CommandRequest, NodeRegistration
from api.v1.flat import command_spec, command_view, declared_services, node_change, node_view, one_newline_less
from controller.duration import SECOND
from controller.resources.command import Command, CommandParams, CommandSpec, CommandStatus, SecretRef
from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec, NodeStatus, TransportSpec
from controller.resources.service import Check, HTTPCheck, Service

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
LABELS = st.dictionaries(
    st.from_regex(r"([a-z]{1,5}/)?[A-Za-z0-9]{1,8}", fullmatch=True), st.from_regex(r"[a-z0-9]{0,8}", fullmatch=True)
)
PORTS = st.none() | st.integers(1, 65535)
DURATIONS = st.integers(1, 600 * SECOND)
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
TRANSPORTS = st.builds(
    TransportSpec,
    type=st.sampled_from(["ssh", "http", "websocket"]),
    user=st.none() | LINES,
    port=PORTS,
    credential_ref=st.none() | NAMES,
    host_key_policy=st.sampled_from([None, "strict", "accept-new", "insecure"]),
    host_keys=st.lists(TEXTS, max_size=2).map(tuple),
    jump=st.none() | NAMES,
    connect_timeout=st.none() | DURATIONS,
    insecure=st.booleans(),
)
HTTP_CHECKS = st.builds(
    HTTPCheck,
    path=st.from_regex(r"/[!-~]{0,20}", fullmatch=True),
    status=st.lists(st.integers(100, 599), max_size=2).map(tuple),
    headers=st.dictionaries(st.from_regex(r"X-[A-Za-z]{1,5}", fullmatch=True), st.just("a b"), max_size=2),
    tls=st.none() | st.booleans(),
)
CHECKS = st.builds(
    lambda how, **rest: Check(**how, **rest),
    how=st.fixed_dictionaries({"http": HTTP_CHECKS})
    | st.just({"tcp": True})
    | st.fixed_dictionaries({"exec": st.lists(TEXTS, min_size=1, max_size=2).map(tuple)}),
    interval=st.none() | st.integers(SECOND, 3600 * SECOND),
    timeout=st.none() | st.integers(SECOND, 60 * SECOND),
    rise=st.integers(1, 10),
    fall=st.integers(1, 10),
    via=st.sampled_from(["auto", "node"]),
)
SERVICES = st.lists(
    st.builds(
        Service,
        id=NAMES,
        name=TEXTS,
        type=TEXTS,
        status=TEXTS,
        port=PORTS,
        endpoint=st.none() | TEXTS,
        metadata=st.dictionaries(TEXTS, TEXTS, max_size=2),
        check=st.none() | CHECKS,
    ),
    unique_by=lambda s: s.id,
    max_size=3,
).map(tuple)


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    """Any node."""
    transports = draw(st.lists(TRANSPORTS, max_size=2))
    listed = draw(st.booleans())
    cordoned = draw(st.booleans())
    spec = NodeSpec(
        display_name=draw(LINES),
        provider=draw(LINES),
        address=draw(LINES),
        port=draw(PORTS),
        unschedulable=cordoned,
        capabilities=draw(st.dictionaries(TEXTS, SCALARS, max_size=3)),
        services=draw(SERVICES),
        discovery=draw(st.none() | st.booleans()),
        transport=transports[0] if transports and not listed else None,
        transports=tuple(transports) if listed else (),
    )
    meta = ObjectMeta(
        name=draw(NAMES), labels=draw(LABELS), annotations=draw(st.dictionaries(TEXTS, TEXTS, max_size=2))
    )
    return Node(metadata=meta, spec=spec, status=NodeStatus(phase="inactive" if cordoned else "active"))


@st.composite
def commands(draw: st.DrawFn) -> Command:
    """Any command."""
    argv = draw(st.none() | st.lists(TEXTS.filter(bool), min_size=1, max_size=3).map(tuple))
    params = CommandParams(
        timeout=draw(DURATIONS),
        delivery_timeout=draw(DURATIONS),
        connect_timeout=draw(DURATIONS),
        grace=draw(DURATIONS),
        argv=argv,
        env=draw(
            st.dictionaries(
                st.from_regex(r"[A-Z]{1,5}", fullmatch=True),
                TEXTS | NAMES.map(lambda n: SecretRef(credential_ref=n)),
                max_size=3,
            )
        ),
        cwd=draw(st.none() | TEXTS.filter(bool)),
        stdin=draw(st.none() | TEXTS),
        shell=None if argv is not None else draw(st.none() | TEXTS.filter(bool)),
        run_as=draw(st.sampled_from([None, "deploy"])),
        force=draw(st.booleans()),
    )
    spec = CommandSpec(node=draw(NAMES), action=draw(TEXTS), params=params, user=draw(TEXTS))
    return Command(metadata=ObjectMeta(name="c"), spec=spec)


@given(nodes())
def test_a_node_survives_the_way_to_flat_json_and_back(node: Node) -> None:
    """F-2: every field of the wish comes back as it was."""
    body = NodeRegistration.model_validate_json(
        to_json(node_view(node, None) | {"services": declared_services(node)})
    )
    back = node_change(body)(Node(metadata=ObjectMeta(name=node.name)))
    assert back.spec == node.spec
    assert (back.metadata.labels, back.metadata.annotations) == (node.metadata.labels, node.metadata.annotations)


@given(commands())
def test_a_command_survives_the_way_to_flat_json_and_back(command: Command) -> None:
    """F-2, C-6: the command shown is whole, so that sent again it is the same."""
    body = CommandRequest.model_validate_json(to_json(command_view(command)["command"]))
    assert command_spec(command.spec.node, body) == command.spec


def test_output_loses_exactly_one_newline() -> None:
    """C-6."""
    assert [one_newline_less(o) for o in ("a\n", "a\n\n", "a", "\n", "")] == ["a", "a\n", "a", "", ""]


def test_duration_and_finished_are_absent_until_it_ends() -> None:
    """C-6."""
    command = Command(metadata=ObjectMeta(name="c"), spec=CommandSpec(node="n", action="true"))
    assert command_view(command).keys().isdisjoint({"duration", "finished"})
    for phase in ("success", "error", "timeout", "cancelled", "unknown"):
        status: dict[str, Any] = {"phase": phase, "reason": "Completed"}
        ended = command.model_copy(update={"status": CommandStatus(**status)})
        assert command_view(ended).keys() >= {"duration", "finished", "output", "command"}


def test_a_cordoned_node_reads_inactive_whatever_was_observed() -> None:
    """B-3: the intent shows at once, before anything is reconciled."""
    node = Node(metadata=ObjectMeta(name="n"), spec=NodeSpec(unschedulable=True), status=NodeStatus(phase="active"))
    assert node_view(node, None)["status"] == "inactive"
