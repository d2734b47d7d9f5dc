"""Foreign exceptions end at the transport: the table knows all of them and keeps their words harmless."""

import asyncio
import socket
from collections.abc import Iterator

import asyncssh
import pytest

from transports import errors
from transports.base import Endpoint
from transports.ssh.translation import RULES, channel_error, connect_error, place, rule_for

ENDPOINT = Endpoint(node="n1", address="192.0.2.7", port=2222, user="ops")


def _tree(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def _of_the_library() -> list[type[BaseException]]:
    public = [value for value in vars(asyncssh).values() if isinstance(value, type) and issubclass(value, Exception)]
    sides = ("SFTP", "SCP", "Break", "Signal", "SoftEOF", "TerminalSize", "ChannelListen", "ConfigParse", "Process")
    own = {cls for root in public for cls in _tree(root) if cls.__module__.startswith("asyncssh")}
    return sorted((c for c in own if not c.__name__.startswith(sides)), key=lambda c: c.__name__)


@pytest.mark.parametrize("foreign", _of_the_library())
def test_every_exception_of_the_library_has_a_rule(foreign: type[BaseException]) -> None:
    rule = rule_for(foreign.__new__(foreign))
    assert issubclass(rule.ours, errors.TransportError)


@pytest.mark.parametrize("foreign", [c for c in _of_the_library() if issubclass(c, asyncssh.DisconnectError)])
def test_every_reason_to_disconnect_has_a_rule_of_its_own(foreign: type[BaseException]) -> None:
    assert any(rule.foreign is foreign for rule in RULES)


@pytest.mark.parametrize("foreign", [*OSError.__subclasses__(), OSError])
def test_every_error_of_the_system_has_a_rule(foreign: type[BaseException]) -> None:
    assert issubclass(rule_for(foreign.__new__(foreign)).ours, errors.TransportError)


def test_no_rule_hides_behind_a_wider_one() -> None:
    for index, rule in enumerate(RULES):
        assert not any(issubclass(rule.foreign, earlier.foreign) for earlier in RULES[:index]), rule


def test_a_bug_of_ours_is_not_translated() -> None:
    for bug in (KeyError("x"), TypeError("x"), AssertionError(), asyncio.CancelledError()):
        with pytest.raises(LookupError):
            rule_for(bug)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (asyncssh.PermissionDenied("no"), errors.AuthFailed),
        (asyncssh.ConnectionLost("gone"), errors.Unreachable),
        (asyncssh.KeyExchangeFailed("none"), errors.EndpointInvalid),
        (ConnectionRefusedError(111, "refused"), errors.Unreachable),
        (TimeoutError(), errors.Unreachable),
        (socket.gaierror(-2, "unknown"), errors.Unreachable),
        (OSError(113, "no route"), errors.Unreachable),
    ],
)
def test_a_message_says_what_where_why_and_what_to_do(
    foreign: BaseException, ours: type[errors.TransportError]
) -> None:
    error = connect_error(foreign, ENDPOINT)
    assert type(error) is ours
    assert str(error).startswith("cannot connect to node 'n1' at ops@192.0.2.7 port 2222: ")
    assert "; " in str(error)


def test_the_way_through_a_jump_host_is_named() -> None:
    jump = Endpoint(node="gate", address="192.0.2.1", port=22)
    assert place(Endpoint(node="n", address="h", port=1, jump=jump)).endswith(
        "through node 'gate' at 192.0.2.1 port 22"
    )


def test_a_refused_channel_is_back_pressure_and_a_refused_command_is_not() -> None:
    assert isinstance(
        channel_error(asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "open failed")), errors.Busy
    )
    refused = asyncssh.ChannelOpenError(asyncssh.OPEN_REQUEST_SESSION_FAILED, "Session request failed")
    assert isinstance(channel_error(refused), errors.UnsupportedShell)
    assert isinstance(channel_error(asyncssh.ConnectionLost("x")), errors.ConnectionLost)


def test_a_peers_words_are_made_harmless() -> None:
    assert errors.printable("a\x1b[31m\r\n\tb\0\x9bc") == "a [31m b c"
    assert len(errors.printable("x" * 999)) == 200
    assert "\x1b" not in str(connect_error(asyncssh.ProtocolError("\x1b]0;owned\x07"), ENDPOINT))
