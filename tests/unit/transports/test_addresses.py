"""The address policy (contract E-9) judges what a name resolves to, however the address is written."""

import asyncio
import socket
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.addresses import denial, dial, is_local, resolve
from transports.base import AddressPolicy
from transports.errors import AddressDenied, EndpointInvalid, Unreachable

METADATA = AddressPolicy(
    deny_networks=tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "0.0.0.0/8", "::/128"))),
    deny_local_ports=frozenset({3001}),
)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "0.0.0.0",
        "::",
        "::ffff:0.0.0.0",
    ],
)
def test_a_denied_network_is_denied_in_every_spelling(address: str) -> None:
    assert "denied network" in denial(ip_address(address), 22, METADATA)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "::1", "fd00::1", "8.8.8.8", "2001:db8::1"]
)
def test_loopback_and_private_addresses_are_ordinary_nodes(address: str) -> None:
    assert denial(ip_address(address), 22, METADATA) == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"])
def test_the_servers_own_ports_are_denied_on_its_own_addresses_only(address: str) -> None:
    assert "this server itself" in denial(ip_address(address), 3001, METADATA)
    assert denial(ip_address(address), 3002, METADATA) == ""
    assert denial(ip_address("203.0.113.7"), 3001, METADATA) == ""


def test_an_address_of_an_interface_is_local() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no route to anywhere")
        own = ip_address(probe.getsockname()[0])
    assert is_local(own)
    assert not is_local(ip_address("192.0.2.1"))


@given(st.ip_addresses(v=4, network="169.254.0.0/16"), st.sampled_from(["::ffff:", "64:ff9b::", "::"]))
def test_no_embedding_of_a_denied_address_gets_through(inner: object, prefix: str) -> None:
    assert denial(ip_address(f"{prefix}{inner}"), 22, METADATA)


@pytest.mark.parametrize(
    "written", ["169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "::ffff:a9fe:a9fe"]
)
async def test_odd_spellings_resolve_before_they_are_judged(written: str) -> None:
    with pytest.raises(AddressDenied, match=r"transports\.deny_cidrs"):
        await resolve(written, 22, METADATA)


async def test_a_zone_is_part_of_the_address_but_not_of_the_judgement() -> None:
    with pytest.raises(AddressDenied):
        await resolve("fe80::1%lo", 22, METADATA)
    (target,) = await resolve("fe80::1%lo", 22, AddressPolicy())
    assert target.sockaddr[3] == socket.if_nametoindex("lo")


@pytest.mark.parametrize(("address", "port"), [("", 22), ("a\0b", 22), ("h", 0), ("h", 65536), ("a" * 64 + ".x", 22)])
async def test_what_is_no_address_is_refused_for_good(address: str, port: int) -> None:
    with pytest.raises(EndpointInvalid):
        await resolve(address, port, AddressPolicy())


@pytest.mark.parametrize(
    "written",
    ["http://10.0.0.5/", "10.0.0.5:22", "build-01:22", "root@10.0.0.5", "10.0.0.5 ", "[::1]", "::1:22x", "a b"],
)
async def test_more_than_an_address_is_refused_for_good_and_says_where_the_rest_belongs(written: str) -> None:
    """A port or a login in the address would be looked for in vain, by every attempt."""
    with pytest.raises(EndpointInvalid, match=r"is no address: .*the port in `port`.*the login in `transport\.user`"):
        await resolve(written, 22, AddressPolicy())


async def test_a_name_that_is_not_found_may_be_found_later() -> None:
    with pytest.raises(Unreachable, match=r"cannot find the address of 'no-such-host\.invalid'"):
        await resolve("no-such-host.invalid", 22, AddressPolicy())


async def test_dialling_tries_the_next_address_when_one_fails() -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    closed, live = (await resolve("127.0.0.2", port, AddressPolicy())) + (
        await resolve("127.0.0.1", port, AddressPolicy())
    )
    connection = await dial([closed, live], timeout=5)
    assert connection.getpeername() == ("127.0.0.1", port)
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    connection.close()
    server.close()


async def test_dialling_reports_the_last_failure() -> None:
    with pytest.raises(ConnectionRefusedError):
        await dial(await resolve("127.0.0.1", 1, AddressPolicy()), timeout=5)
