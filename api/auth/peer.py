"""Where a request comes from, judged on the raw socket peer; proxies are believed only where named (E-6)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from api.auth.headers import DoorHeaders

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_MAX_HOPS: Final = 32


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """Return the address, an IPv4-mapped IPv6 one as the IPv4 that it is; None for anything else."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_loopback(text: str) -> bool:
    """Whether this is an address of this very machine."""
    address = parse_address(text)
    return address is not None and address.is_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The caller. `local`: on this machine, and nothing says that it speaks for somebody elsewhere."""

    address: str
    local: bool
    proxied: bool = False
    """Came through a trusted proxy, so that its X-Forwarded-Proto counts."""


class Proxies:
    """The proxies whose X-Forwarded-For is believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: tuple[Network, ...] = tuple(ip_network(n, strict=False) for n in networks)

    def peer(self, client: Sequence[object] | None, headers: DoorHeaders) -> Peer:
        """Return who is calling. No client address means a UNIX socket, which only this machine can reach."""
        raw = str(client[0]) if client else ""
        if not headers.forwarded:
            return Peer(address=raw, local=not client or is_loopback(raw))
        if not (client and self._trusts(raw) and headers.forwarded_for):
            return Peer(address=raw, local=False)
        address = self._walk(b",".join(headers.forwarded_for).decode("latin-1"))
        return Peer(address=address or raw, local=bool(address) and is_loopback(address), proxied=True)

    def _trusts(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and any(address in network for network in self._networks)

    def _walk(self, chain: str) -> str:
        """Go from right to left past the trusted hops: what stands further left, the caller may have invented."""
        hops = [_bare(hop) for hop in chain.split(",")[-_MAX_HOPS:]]
        for hop in reversed(hops):
            if parse_address(hop) is None:
                return ""
            if not self._trusts(hop):
                return hop
        return hops[0]


def _bare(hop: str) -> str:
    """Strip the port that some proxies add: `1.2.3.4:5` and `[::1]:5`."""
    hop = hop.strip()
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
