"""What a node says of its services is believed strictly: it may say anything (contract D-2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.resources.node import NodeStatus
from controller.resources.service import Service, ServiceStatus
from controller.services.findings import MOST_FOUND, Incomplete, beside, read

LOOPBACK, ANY, V6 = b"0100007F", b"00000000", b"0" * 24 + b"01000000"


def told(*lines: bytes) -> tuple[ServiceStatus, ...]:
    return read(b"\n".join([*lines, b"end"]) + b"\n")


def test_sockets_containers_and_units_become_services() -> None:
    found = told(
        b"socket\t" + LOOPBACK + b":1F90\tnginx",
        b"socket\t" + ANY + b":0016\t-",
        b"socket\t" + V6 + b":0050\tnode server",
        b"container\tdb\trunning\t0.0.0.0:5432->5432/tcp, [::]:5432->5432/tcp, 6000/tcp, :::53->53/udp",
        b"container\tworker\tpaused\t",
        b"systemd\tnginx.service\tactive",
        b"systemd\tbad@1.service\tfailed",
        b"systemd\toff.service\tinactive",
    )
    assert [(s.id, s.name, s.port, s.status) for s in found] == [
        ("socket-8080", "nginx", 8080, "running"),
        ("socket-22", "port 22", 22, "running"),
        ("socket-80", "node server", 80, "running"),
        ("container-db", "db", 5432, "running"),
        ("container-worker", "worker", None, "degraded"),
        ("systemd-nginx.service", "nginx.service", None, "running"),
        ("systemd-bad_1.service", "bad@1.service", None, "failed"),
    ]
    assert [s.message for s in found[:3]] == ["listens on loopback only", "listens", "listens on loopback only"]


def test_what_listens_for_a_container_is_the_container() -> None:
    found = told(b"socket\t" + ANY + b":1538\tdocker-proxy", b"container\tdb\trunning\t0.0.0.0:5432->5432/tcp")
    assert [s.id for s in found] == ["container-db"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"end",
        b"socket",
        b"socket\t" + ANY + b":0000\tx",
        b"socket\t" + ANY + b":1F90",
        b"socket\t" + ANY + b":1F90\tx\ty",
        b"socket\tzzzzzzzz:1F90\tx",
        b"socket\t" + ANY * 2 + b":1F90\tx",
        b"socket\t" + ANY + b":1F90\t" + b"x" * 5000,
        b"container\t../../x\trunning\t",
        b"container\ta b\trunning\t",
        b"container\t\x1b[2J\trunning\t",
        b"container\tx\texploded\t",
        b"systemd\tx\x00y\tactive",
        b"\xff\xfe\x00",
    ],
)
def test_what_makes_no_sense_is_left_out(line: bytes) -> None:
    assert told(line) == ()


def test_a_process_may_be_called_anything_and_shows_as_its_port() -> None:
    for name in (b"\x1b]0;owned\x07", b"a\x00b", "ü\u202e".encode(), b"\xff"):
        (found,) = told(b"socket\t" + ANY + b":1F90\t" + name)
        assert found.name.isprintable()
        assert "\x1b" not in found.name


def test_of_what_a_node_did_not_tell_to_its_end_nothing_counts() -> None:
    for output in (b"", b"socket\t" + ANY + b":1F90\tx\n", b"en", b"end\nmore"):
        with pytest.raises(Incomplete):
            read(output)


def test_ten_megabytes_of_lines_are_a_bounded_number_of_services() -> None:
    lines = [b"container\tc%d\trunning\t" % i for i in range(300_000)]
    assert len(told(*lines)) == MOST_FOUND
    (one,) = told(b"socket\t" + ANY + b":1F90\tx", *([b"socket\t" + ANY + b":1F90\ty"] * 1000))
    assert one.name == "x"
    many = b",".join(b"0.0.0.0:%d->1/tcp" % n for n in range(1, 200))
    assert len(told(b"container\tx\trunning\t" + many)) <= MOST_FOUND


@given(st.lists(st.lists(st.binary(max_size=40) | st.sampled_from([b"socket", b"container", ANY + b":1F90"]))))
def test_whatever_a_node_says_can_be_stored(lines: list[list[bytes]]) -> None:
    found = told(*(b"\t".join(fields).replace(b"\n", b" ") for fields in lines))
    assert NodeStatus.model_validate_json(NodeStatus(services=found).model_dump_json()).services == found


@pytest.mark.parametrize(
    "declared",
    [Service(id="socket-80"), Service(id="x", name="nginx"), Service(id="nginx"), Service(id="x", port=80)],
)
def test_a_declared_service_is_never_taken_away_nor_doubled(declared: Service) -> None:
    found = ServiceStatus(id="socket-80", source="socket", name="nginx", port=80)
    other = ServiceStatus(id="socket-81", source="socket", name="other", port=81)
    assert list(beside([declared], [found, other])) == [other]
