"""From what a node says of itself to the services found on it: strictly, for it may say anything."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from controller.resources.service import Service, ServiceStatus

MOST_FOUND: Final = 256
"""Services that are found on one node; what is beyond them is left out."""
_AT: Final = re.compile(rb"((?:[0-9A-F]{8}){1,4}):([0-9A-F]{4})")
_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._@:\\-]{0,99}")
_PUBLISHED: Final = re.compile(rb":([0-9]{1,5})(?:-[0-9]{1,5})?->[0-9-]{1,11}/tcp")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_LINE: Final = 4096
_PHASES: Final = {
    b"running": "running", b"restarting": "degraded", b"paused": "degraded",
    b"active": "running", b"activating": "degraded", b"reloading": "degraded", b"deactivating": "degraded",
    b"failed": "failed",
}  # fmt: skip


class Incomplete(ValueError):
    """The node did not get to the end: what it did not name may be there all the same."""


def read(output: bytes) -> tuple[ServiceStatus, ...]:
    """The services in the output of `discover.sh`, without what makes no sense. Raises Incomplete."""
    *lines, last = output.removesuffix(b"\n").split(b"\n")
    if last != b"end":
        raise Incomplete("the node did not tell all of what runs there")
    found: dict[str, ServiceStatus] = {}
    for line in lines:
        for status in _service(line.split(b"\t")) if len(line) <= _LONGEST_LINE else ():
            found.setdefault(status.id, status)
    return tuple(_without_proxies(list(found.values())))[:MOST_FOUND]


def beside(declared: Iterable[Service], found: Iterable[ServiceStatus]) -> Iterator[ServiceStatus]:
    """What was found and is not one of those declared: none has the same id, name or port."""
    names, ports = set[str](), set[int | None]()
    for service in declared:
        names |= {service.id, service.name}
        ports.add(service.port)
    ports.discard(None)
    for status in found:
        if status.id not in names and status.name not in names and status.port not in ports:
            yield status


def _service(fields: list[bytes]) -> Iterator[ServiceStatus]:
    match fields:
        case [b"socket", at, process]:
            yield from _socket(at, process)
        case [b"container", name, state, ports] if _NAME.fullmatch(name) and state in _PHASES:
            yield from _container(name.decode(), _PHASES[state], ports)
        case [b"systemd", unit, active] if _NAME.fullmatch(unit) and active in _PHASES:
            yield _unit(unit.decode(), _PHASES[active])
        case _:
            pass


def _socket(at: bytes, process: bytes) -> Iterator[ServiceStatus]:
    read_at = _AT.fullmatch(at)
    if read_at is None or len(read_at[1]) not in {8, 32} or (port := int(read_at[2], 16)) == 0:
        return
    name = process.decode(errors="replace")
    fit = process != b"-" and name.isprintable() and len(name) <= 64
    yield ServiceStatus(
        id=f"socket-{port}",
        source="socket",
        type="tcp",
        name=name if fit else f"port {port}",
        port=port,
        status="running",
        message="listens on loopback only" if _address(read_at[1]).is_loopback else "listens",
    )


def _unit(name: str, phase: str) -> ServiceStatus:
    return ServiceStatus(id=_id("systemd", name), source="systemd", type="unit", name=name, status=phase)


def _container(name: str, phase: str, ports: bytes) -> Iterator[ServiceStatus]:
    """One for each published port; one without a port where there is none."""
    published: list[int | None] = [*sorted({n for text in _PUBLISHED.findall(ports) if 0 < (n := int(text)) < 65536})]
    for port in published or [None]:
        more = f"-{port}" if len(published) > 1 else ""
        yield ServiceStatus(
            id=_id("container", name + more), source="container", type="container", name=name, port=port, status=phase
        )


def _without_proxies(found: list[ServiceStatus]) -> Iterator[ServiceStatus]:
    """Whatever listens for a container is the container."""
    published = {s.port for s in found if s.source == "container"}
    return (s for s in found if s.source != "socket" or s.port not in published)


def _id(source: str, name: str) -> str:
    return f"{source}-{_UNFIT.sub('_', name)}"[:128]


def _address(text: bytes) -> IPv4Address | IPv6Address:
    """From the kernel's words, each in the byte order of the machine: little-endian, as good as everywhere."""
    words = [bytes.fromhex(text[i : i + 8].decode())[::-1] for i in range(0, len(text), 8)]
    packed = b"".join(words)
    if len(packed) == 4:
        return IPv4Address(packed)
    address = IPv6Address(packed)
    return address.ipv4_mapped or address
