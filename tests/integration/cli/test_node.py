"""`vendetta node join-token` and `revoke` (contract E-5)."""

import httpx2

from tests.integration.cli.conftest import CLI
from tests.support.server import Server


def test_a_machine_joins_by_a_token_and_is_locked_out_again(vendetta: CLI, server: Server) -> None:
    """E-5: the token as text or as JSON, what was asked for in it, and what revoking says."""
    made = vendetta("node", "join-token", "--node", "n1", "-l", "env=dev", "--expires", "5m", "-o", "json").json
    assert (made["node"], made["labels"]) == ("n1", {"env": "dev"})
    assert join(server, made["token"], "n1").json()["node"]["labels"] == {"env": "dev"}
    token = vendetta("node", "join-token").text
    assert token.startswith("vjt_")
    assert join(server, token.strip(), "n2").status_code == 200
    assert vendetta("node", "revoke", "n1").text == "node/n1: its tokens are revoked\n"
    assert "not found" in vendetta("node", "revoke", "nobody", expect=1).err
    assert "expires_in" in vendetta("node", "join-token", "--expires", "soon", expect=1).err


def join(server: Server, token: str, name: str) -> httpx2.Response:
    return server.http.post("/api/v1/join", json={"id": name}, headers={"Authorization": f"Bearer {token}"})
