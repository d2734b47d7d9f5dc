"""Every transport passes the one suite."""

import pytest

from tests.contract.transports.conftest import FakeGround, RealGround
from transports.testing import TransportContract


@pytest.mark.sshd
class TestSSH(TransportContract):
    """Over a real OpenSSH server."""

    @pytest.fixture
    def ground(self, ssh_ground: RealGround) -> RealGround:
        """See there."""
        return ssh_ground


class TestHTTP(TransportContract):
    """Over HTTP to a real agent."""

    @pytest.fixture
    def ground(self, http_ground: RealGround) -> RealGround:
        """See there."""
        return http_ground


class TestWebSocket(TransportContract):
    """Over a connection that a real agent dialled."""

    @pytest.fixture
    def ground(self, websocket_ground: RealGround) -> RealGround:
        """See there."""
        return websocket_ground


class TestFake(TransportContract):
    """In memory."""

    @pytest.fixture
    def ground(self) -> FakeGround:
        """See there."""
        return FakeGround()
