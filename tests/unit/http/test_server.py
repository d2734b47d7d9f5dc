"""What the server says when it starts (contract E-6)."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from api.server import _warn
from tests.support.api import AUTH_ON, settings

NOBODY = "nobody is admitted"


def warnings(host: str, **sections: Any) -> list[str]:
    """What is said of these settings on that address."""
    with capture_logs() as logs:
        _warn(settings(**sections), host)
    return [entry["event"] for entry in logs if entry["log_level"] == "warning"]


@pytest.mark.parametrize("host", ["192.0.2.7", "fe80::1"])
def test_an_address_that_admits_nobody_is_warned_of(host: str) -> None:
    """E-6: with auth off only loopback gets in, and there is none behind such an address."""
    assert [NOBODY in said for said in warnings(host)].count(True) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_any_other_is_not(host: str) -> None:
    """E-6: loopback, or every address."""
    told = warnings(host)
    assert len(told) == 1
    assert "loopback" in told[0]


def test_nor_where_others_are_admitted() -> None:
    """E-6."""
    assert not [said for said in warnings("192.0.2.7", auth={"allow_insecure_remote": True}) if NOBODY in said]
    assert not warnings("192.0.2.7", auth=AUTH_ON)
