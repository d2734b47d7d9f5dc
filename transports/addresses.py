"""Where a connection may go (contract E-9): resolve once, check every result, connect to what was checked."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from transports.base import AddressPolicy
from transports.errors import AddressDenied, EndpointInvalid, Unreachable

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NOT_IN_A_NAME = re.compile(r"[\s/@]")

IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One address that may be connected to, in the form that `socket.connect` takes."""

    family: int
    sockaddr: tuple[Any, ...]
    ip: IPAddress


async def resolve(address: str, port: int, policy: AddressPolicy) -> list[Target]:
    """All addresses behind a name, if every one of them is allowed.

    Raises `EndpointInvalid` for what is no address, `Unreachable` for a name that is not found and
    `AddressDenied` when any of the results is forbidden: a name that points to both is not to be trusted.
    """
    if not address or "\0" in address or not 0 < port < 65536:
        raise EndpointInvalid(
            f"{address!r} port {port} is no address to connect to; give a host name or an IP address"
        )
    if _is_more_than_an_address(address):
        raise EndpointInvalid(
            f"{address!r} is no address: write a host name or an IP address alone, the port in `port` "
            "and the login in `transport.user`"
        )
    targets = [
        Target(family=family, sockaddr=sockaddr, ip=ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]))
        for family, sockaddr in await _lookup(address, port)
    ]
    for target in targets:
        if reason := denial(target.ip, port, policy):
            raise AddressDenied(
                f"connecting to {address} port {port} is not allowed: {reason}; "
                "see transports.deny_cidrs in the configuration"
            )
    return targets


def _is_more_than_an_address(text: str) -> bool:
    """Whether this is a URL, `host:port`, `login@host` or the like, which no name service can ever find."""
    if ":" not in text:
        return _NOT_IN_A_NAME.search(text) is not None
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return True
    return False


async def _lookup(address: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except socket.gaierror as exc:
        raise Unreachable(
            f"cannot find the address of {address!r}: {exc.strerror}; check the node's address and the name service"
        ) from exc
    except UnicodeError as exc:
        raise EndpointInvalid(f"{address!r} is no host name: {exc}") from exc
    return list(dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found))


def denial(ip: IPAddress, port: int, policy: AddressPolicy) -> str:
    """Why this address and port may not be connected to; empty when they may."""
    faces = list(_faces(ip))
    for face in faces:
        for network in policy.deny_networks:
            if face.version == network.version and face in network:
                return f"{ip} is in the denied network {network}"
    if port in policy.deny_local_ports and any(is_local(face) for face in faces):
        return f"{ip} is this server itself and port {port} is one of its own"
    return ""


def _faces(ip: IPAddress) -> Iterator[IPAddress]:
    """The address, and every IPv4 address that an IPv6 one stands for: each leads to the same machine."""
    yield ip
    if isinstance(ip, IPv4Address):
        return
    low = IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.ipv4_mapped or ip in _NAT64 or (ip in _V4_COMPATIBLE and int(ip) > 1):
        yield low
    if ip.sixtofour:
        yield ip.sixtofour
    if ip.teredo:
        yield ip.teredo[1]


def is_local(ip: IPAddress) -> bool:
    """Whether an address is one of this machine's own: only those can be bound to."""
    if ip.is_loopback or ip.is_unspecified:
        return True
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(ip), 0))
        except OSError:
            return False
    return True


async def dial(targets: Sequence[Target], *, timeout: float) -> socket.socket:
    """A connected, non-blocking socket to the first target that answers, `TCP_NODELAY` set.

    Each target gets an equal share of `timeout` seconds. Raises the `OSError` of the last one.
    """
    failure: OSError = ConnectionError("no address to connect to")
    for target in targets:
        try:
            async with asyncio.timeout(timeout / len(targets)):
                return await _dial_one(target)
        except OSError as exc:
            failure = exc
    raise failure


async def _dial_one(target: Target) -> socket.socket:
    connection = socket.socket(target.family, socket.SOCK_STREAM)
    try:
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, target.sockaddr)
    except BaseException:
        connection.close()
        raise
    return connection
