"""The one table from foreign exceptions to `transports.errors`."""

import os
import socket
from dataclasses import dataclass

import asyncssh

from transports.base import Endpoint
from transports.errors import (
    AuthFailed,
    Busy,
    ConnectionLost,
    EndpointInvalid,
    HostKeyMismatch,
    TransportError,
    Unreachable,
    UnsupportedShell,
    printable,
)

Foreign = (OSError, asyncssh.Error, asyncssh.PasswordChangeRequired, ValueError)
"""What may come out of the library while connecting, and nothing else: a bug of ours stays visible."""


@dataclass(frozen=True, slots=True)
class Rule:
    """While connecting, `foreign` means `ours`, because of `cause`; `advice` says what to do."""

    foreign: type[BaseException]
    ours: type[TransportError]
    cause: str
    advice: str


RULES = (
    Rule(
        asyncssh.HostKeyNotVerifiable,
        HostKeyMismatch,
        "the host key was not accepted",
        "compare it with the node's own, then use `vendetta node trust`",
    ),
    Rule(
        asyncssh.PermissionDenied,
        AuthFailed,
        "no credential was accepted",
        "check the user name and that the node's authorized_keys holds the public key",
    ),
    Rule(
        asyncssh.PasswordChangeRequired, AuthFailed, "the password has expired", "log in once by hand and change it"
    ),
    Rule(asyncssh.IllegalUserName, AuthFailed, "the user name cannot be used", "check transport.user"),
    Rule(
        asyncssh.KeyExchangeFailed,
        EndpointInvalid,
        "there is no algorithm that both sides accept",
        "update the node's SSH server, or pin its host key if it has an ECDSA key only",
    ),
    Rule(
        asyncssh.ProtocolNotSupported,
        Unreachable,
        "what answers there speaks no SSH 2",
        "check address and port",
    ),
    Rule(
        asyncssh.ProtocolError,
        Unreachable,
        "what answers there does not keep to the SSH protocol",
        "check address and port",
    ),
    Rule(asyncssh.CompressionError, Unreachable, "the data received was damaged", "look at the network in between"),
    Rule(asyncssh.MACError, Unreachable, "the data received was damaged", "look at the network in between"),
    Rule(
        asyncssh.ServiceNotAvailable,
        Unreachable,
        "the SSH server refused its service",
        "look at the node's own log",
    ),
    Rule(
        asyncssh.ConnectionLost,
        Unreachable,
        "the connection ended while it was being set up",
        "look at the node's own log: a full MaxStartups, a firewall and a failing server all look like this",
    ),
    Rule(asyncssh.DisconnectError, Unreachable, "the SSH server ended the connection", "look at the node's own log"),
    Rule(
        asyncssh.ChannelOpenError,
        Unreachable,
        "the jump host could not connect there",
        "check the address as seen from the jump host, and its AllowTcpForwarding",
    ),
    Rule(asyncssh.Error, Unreachable, "the SSH connection failed", "look at the node's own log"),
    Rule(socket.gaierror, Unreachable, "the name is not known", "check address and name service"),
    Rule(
        ConnectionRefusedError,
        Unreachable,
        "nothing listens there",
        "check that the SSH server runs, and the port",
    ),
    Rule(
        TimeoutError,
        Unreachable,
        "there was no answer in time",
        "check that the node is up, the way to it and its firewall, or raise transport.connectTimeout",
    ),
    Rule(
        ConnectionError,
        Unreachable,
        "the connection broke while it was being set up",
        "look at the node's own log",
    ),
    Rule(OSError, Unreachable, "the network gives no way there", "check the address and the route to it"),
    Rule(ValueError, EndpointInvalid, "the connection's settings make no sense", "check spec.transport"),
)
"""First match wins, so subclasses stand before what they derive from."""


def rule_for(exc: BaseException) -> Rule:
    """The rule that applies to a foreign exception. Raises `LookupError` for anything not in `Foreign`."""
    for rule in RULES:
        if isinstance(exc, rule.foreign):
            return rule
    raise LookupError(f"no rule for {type(exc).__name__}") from exc


def connect_error(exc: BaseException, endpoint: Endpoint) -> TransportError:
    """What a failed attempt to connect means. Does not raise."""
    rule = rule_for(exc)
    said = _words(exc)
    told = f" ({said})" if said else ""
    return rule.ours(f"cannot connect to {place(endpoint)}: {rule.cause}{told}; {rule.advice}")


def channel_error(exc: BaseException) -> TransportError:
    """What a channel that could not be opened on an open connection means."""
    if isinstance(exc, asyncssh.ChannelOpenError):
        if exc.code in _NO_ROOM:
            return Busy(f"the node admits no further channel at the moment ({printable(exc.reason)})")
        return UnsupportedShell(
            f"the node's SSH server does not let this login execute commands ({printable(exc.reason)}); "
            "look for a forced command, a restricted account or a missing shell"
        )
    return ConnectionLost(f"the connection ended before the command was under way ({_words(exc)})")


_NO_ROOM = (
    asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED,
    asyncssh.OPEN_CONNECT_FAILED,
    asyncssh.OPEN_RESOURCE_SHORTAGE,
)


def place(endpoint: Endpoint) -> str:
    """An endpoint in words: node, login, address, and the way there."""
    user = f"{endpoint.user}@" if endpoint.user else ""
    via = f" through {place(endpoint.jump)}" if endpoint.jump else ""
    return f"node {endpoint.node!r} at {user}{endpoint.address} port {endpoint.port}{via}"


def _words(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return ""
    if isinstance(exc, OSError) and exc.errno and not isinstance(exc, socket.gaierror):
        return os.strerror(exc.errno)
    return printable(str(exc))
