"""Find a transport by its name: entry points of the group `vendetta.transports`, loaded when asked for."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from transports.base import Transport
from transports.errors import EndpointInvalid

GROUP = "vendetta.transports"

_BUILT_IN = {
    "http": "transports.http.transport:HTTPTransport",
    "ssh": "transports.ssh.transport:SSHTransport",
    "websocket": "transports.websocket.transport:WebSocketTransport",
}
"""What this package brings along, so that it works from a checkout that was never installed."""


class UnknownTransport(EndpointInvalid, LookupError):
    """No transport of that name is installed, or what is installed cannot be loaded."""


def _found() -> dict[str, EntryPoint]:
    built_in = {name: EntryPoint(name, value, GROUP) for name, value in _BUILT_IN.items()}
    return built_in | {point.name: point for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """Names of all transports that are installed, sorted. Loads none of them."""
    return sorted(_found())


def load(name: str) -> Callable[..., Transport]:
    """The transport class of that name; its keyword arguments are its settings. Raises `UnknownTransport`."""
    found = _found()
    if name not in found:
        raise UnknownTransport(f"there is no transport named {name!r}; installed are: {', '.join(sorted(found))}")
    try:
        made: Callable[..., Transport] = found[name].load()
    except (ImportError, AttributeError) as exc:
        raise UnknownTransport(
            f"the transport {name!r} is declared as {found[name].value} but cannot be loaded: {exc}; "
            "reinstall the package that brings it"
        ) from exc
    return made
