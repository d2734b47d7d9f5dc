"""Transports are found by name, from entry points or, in a checkout, from the built-in table."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from transports import registry
from transports.base import Transport
from transports.errors import EndpointInvalid
from transports.registry import UnknownTransport
from transports.ssh.transport import SSHTransport


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution that brings the transports `carrier-pigeon`, and `lost` which does not load."""
    info = tmp_path / "pigeon-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeon\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[vendetta.transports]\ncarrier-pigeon = pigeon_for_test:Pigeon\nlost = pigeon_for_test:Nothing\n"
    )
    (tmp_path / "pigeon_for_test.py").write_text("class Pigeon: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_the_ssh_transport_is_a_transport() -> None:
    made: Callable[..., Transport] = SSHTransport  # the type checker is the judge here
    assert callable(made(keepalive_interval=5.0, max_channels=4).connect)


def test_ssh_is_there_without_being_installed() -> None:
    assert "ssh" in registry.names()
    assert registry.load("ssh") is SSHTransport


@pytest.mark.usefixtures("plugin")
def test_an_installed_package_brings_its_transport() -> None:
    assert {"carrier-pigeon", "ssh"} <= set(registry.names())
    assert "pigeon_for_test" not in sys.modules
    assert registry.load("carrier-pigeon").__name__ == "Pigeon"


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownTransport, match=r"no transport named 'telnet'; installed are: .*ssh") as refused:
        registry.load("telnet")
    assert isinstance(refused.value, EndpointInvalid)


@pytest.mark.usefixtures("plugin")
def test_a_transport_that_does_not_load_says_which_one() -> None:
    with pytest.raises(UnknownTransport, match="'lost' is declared as pigeon_for_test:Nothing"):
        registry.load("lost")
