"""What a check is aimed at, and from where it is made: decided purely, from the node's spec alone."""

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from controller.resources.node import Node, transports_of
from controller.resources.service import HTTPCheck, Service
from transports.checks import HTTPRequest, Place

_PORTS: Final = {"http": 80, "https": 443}


class NoTarget(ValueError):
    """The service says too little for its check; the message says what is missing."""


def place_of(node: Node, service: Service, *, here: str = "") -> Place:
    """Where the service is: its endpoint, else its port on the node's address, or `here`. Raises NoTarget."""
    host, port = _endpoint(service.endpoint or "")
    address = host or here or node.spec.address
    port = port or service.port
    if not port:
        raise NoTarget("the service has no port to check")
    if not address:
        raise NoTarget("neither the service nor its node has an address to check")
    return Place(address=address, port=port)


def request_of(node: Node, service: Service, check: HTTPCheck, *, here: str = "") -> HTTPRequest:
    """What an HTTP check asks for. Raises NoTarget."""
    tls = (service.endpoint or "").startswith("https://") if check.tls is None else check.tls
    return HTTPRequest(
        place=place_of(node, service, here=here),
        path=check.path,
        statuses=frozenset(check.status),
        headers=check.headers,
        tls=tls,
        insecure=check.insecure,
    )


def is_made_on_node(node: Node, service: Service) -> bool:
    """Whether a check is made from the node from the start (`via`).

    An address that is loopback means the node itself, wherever that is; and where the node is reached through
    another, or has dialled in, nothing says that its services can be reached from here.
    """
    check = service.check
    if check is None or check.exec is not None or check.via == "node":
        return True
    if check.via == "controller":
        return False
    host, _ = _endpoint(service.endpoint or "")
    if _is_loopback(host) and not _is_loopback(node.spec.address):
        return True
    way = transports_of(node)[0]
    return way.jump is not None or way.type == "websocket" or not (host or node.spec.address)


def aim_of(node: Node, service: Service) -> tuple[object, ...]:
    """What, if it changes, makes the results so far those of something else."""
    return (
        node.spec.address,
        node.spec.transport,
        node.spec.transports,
        service.check,
        service.port,
        service.endpoint,
    )


def _endpoint(endpoint: str) -> tuple[str, int | None]:
    """Host and port of a URL, or of `host:port`; empty and None where there is none."""
    if not endpoint:
        return "", None
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        return parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        raise NoTarget("the service's endpoint is neither a URL nor host:port") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
