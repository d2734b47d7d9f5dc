"""Enrolment over the wire, with auth on and off, by good joiners and bad ones (contract E-5, E-6)."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from api.agents import REVOKED, STOPPING
from api.auth import revocation
from api.auth.principal import Principal
from api.auth.tokens import verify
from controller.resources.node import Node
from tests.support.api import AUTH_ON, SECRET, STATIC
from tests.support.live import Live, serve

ADMIN = {"Authorization": f"Bearer {STATIC}"}
KEY = "drawn-by-the-joiner"
HTTP = httpx2.Client(trust_env=False)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serve(auth={**AUTH_ON, "node_token_expiry": 3600 * 10**9}, server={"auth_token": STATIC}) as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def post(live: Live, path: str, body: Any = None, headers: dict[str, str] | None = None) -> httpx2.Response:
    return HTTP.post(live.url + path, json=body, headers=ADMIN if headers is None else headers)


def made(live: Live, **wish: Any) -> dict[str, Any]:
    answer = post(live, "/api/v1/join-tokens", wish)
    assert answer.status_code == 201, answer.text
    token: dict[str, Any] = answer.json()
    return token


def joined(live: Live, name: str, **more: Any) -> dict[str, Any]:
    answer = post(live, "/api/v1/join", {"id": name, **more}, bearer(made(live)["token"]))
    assert answer.status_code == 200, answer.text
    answered: dict[str, Any] = answer.json()
    return answered


def beats(live: Live, name: str, token: str) -> int:
    return post(live, f"/api/v1/nodes/{name}/heartbeat", {}, bearer(token)).status_code


def test_a_machine_joins_and_speaks_for_itself(live: Live) -> None:
    """E-5: with the token that it got, for its own node only."""
    answer = joined(live, "join-1", address="10.0.0.9", labels={"env": "dev"}, transport={"type": "ssh"})
    node = answer["node"]
    assert (node["id"], node["address"], node["labels"]) == ("join-1", "10.0.0.9", {"env": "dev"})
    assert "transport" not in node
    assert answer["expires_at"].endswith("Z")
    who = HTTP.get(f"{live.url}/api/v1/whoami", headers=bearer(answer["token"])).json()
    assert (who["name"], who["role"], who["node"]) == ("join-1", "node", node["uid"])
    other = joined(live, "join-2")
    assert beats(live, "join-1", answer["token"]) == 204
    assert beats(live, "join-1", other["token"]) == 403


def test_fields_that_no_joiner_may_say_are_named_in_a_warning(live: Live) -> None:
    """B-1, E-5: how a node is reached is not its own to say."""
    body = {"id": "join-warned", "transport": {"type": "ssh"}, "status": "inactive"}
    answer = post(live, "/api/v1/join", body, bearer(made(live)["token"]))
    assert answer.json()["node"]["status"] == "active"
    assert "transport" in answer.headers["warning"]


def test_a_join_token_opens_nothing_else(live: Live) -> None:
    """E-5: as a bearer anywhere else it is no token at all, used or not."""
    token = made(live)["token"]
    for method, path in (("GET", "/api/v1/nodes"), ("GET", "/api/v1/whoami"), ("POST", "/api/v1/join-tokens")):
        assert HTTP.request(method, live.url + path, headers=bearer(token)).status_code == 401
    assert HTTP.get(f"{live.url}/api/v1/join", headers=bearer(token)).status_code == 405
    assert post(live, "/api/v1/join", {"id": "join-3"}, bearer(token)).status_code == 200


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer x", f"Bearer {STATIC}", f"Basic {STATIC}", f"Bearer {'x' * 5000}"]
)
def test_nothing_but_a_join_token_joins(live: Live, shown: str) -> None:
    """E-5: 401 with a challenge, whatever else the bearer may do, and before the body is looked at."""
    answer = post(live, "/api/v1/join", {"nonsense": 1}, {"Authorization": shown})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_whoever_shows_a_bad_token_is_counted(live: Live) -> None:
    """D-4: as those whom the door turns away."""
    before = turned_away(live)
    assert post(live, "/api/v1/join", {"id": "x"}, bearer("vjt_guess")).status_code == 401
    assert turned_away(live) == before + 1


def turned_away(live: Live) -> float:
    lines = HTTP.get(f"{live.url}/metrics/prometheus", headers=ADMIN).text.splitlines()
    return float(
        next(line for line in lines if line.startswith('vendetta_auth_failures_total{code="401"}')).split()[1]
    )


def test_a_used_token_is_good_for_its_joiner_alone(live: Live) -> None:
    """E-5: the same request with the same key is answered again, with a token that counts."""
    token = bearer(made(live)["token"])
    first = post(live, "/api/v1/join", {"id": "join-4", "key": KEY}, token).json()
    again = post(live, "/api/v1/join", {"id": "join-4", "key": KEY}, token).json()
    assert again["node"]["uid"] == first["node"]["uid"]
    assert beats(live, "join-4", again["token"]) == 204
    for body in ({"id": "join-4"}, {"id": "join-4", "key": "somebody-elses-key"}, {"id": "join-5", "key": KEY}):
        assert post(live, "/api/v1/join", body, token).status_code == 401


def test_a_token_made_for_a_node_joins_no_other(live: Live) -> None:
    """E-5: 403; and a node that is there is taken over by no other token: 409."""
    token = bearer(made(live, node="join-6", labels={"env": "dev"})["token"])
    assert post(live, "/api/v1/join", {"id": "join-7"}, token).status_code == 403
    assert post(live, "/api/v1/join", {"id": "join-6"}, token).json()["node"]["labels"] == {"env": "dev"}
    assert post(live, "/api/v1/join", {"id": "join-6"}, bearer(made(live)["token"])).status_code == 409


def test_whoever_takes_a_node_over_is_its_only_bearer(live: Live) -> None:
    """E-5: what the machine before it held is void at once."""
    first = joined(live, "join-8")
    answer = post(live, "/api/v1/join", {"id": "join-8"}, bearer(made(live, node="join-8")["token"]))
    assert answer.json()["node"]["uid"] == first["node"]["uid"]
    assert beats(live, "join-8", first["token"]) == 401
    assert beats(live, "join-8", answer.json()["token"]) == 204


def test_a_node_renews_its_own_token(live: Live) -> None:
    """E-5: only its own, and as often as it likes."""
    mine, other = joined(live, "join-9"), joined(live, "join-10")
    answer = post(live, "/api/v1/nodes/join-9/token", None, bearer(mine["token"]))
    assert answer.status_code == 200
    assert beats(live, "join-9", answer.json()["token"]) == 204
    assert post(live, "/api/v1/nodes/join-9/token", None, bearer(other["token"])).status_code == 403


def test_revoking_a_node_voids_every_token_of_it_at_once(live: Live) -> None:
    """E-5: those of before, whoever made them, on open streams too; those of after count in the same second."""
    node = joined(live, "join-11")
    by_hand = post(live, "/api/v1/tokens", {"subject": "agent", "role": "node", "node": "join-11"}).json()["token"]
    principals = [
        revocation.with_name(live.context.store, verify(token, SECRET, live.context.clock.now()))
        for token in (node["token"], by_hand)
    ]
    assert [still_counts(live, principal) for principal in principals] == [True, True]
    assert post(live, "/api/v1/nodes/join-11/revoke").status_code == 200
    assert [still_counts(live, principal) for principal in principals] == [False, False]
    assert [beats(live, "join-11", token) for token in (node["token"], by_hand)] == [401, 401]
    answer = post(live, "/api/v1/join", {"id": "join-11"}, bearer(made(live, node="join-11")["token"]))
    assert beats(live, "join-11", answer.json()["token"]) == 204


def test_a_connection_that_an_agent_holds_ends_with_its_token(live: Live) -> None:
    """E-5: revoked, removed or taken over: nobody stays in by never leaving, nor gets in again by that token."""
    tokens = {name: joined(live, name)["token"] for name in ("held-1", "held-2", "held-3")}
    with ExitStack() as stack:
        agents = {name: stack.enter_context(dial(live, name, token)) for name, token in tokens.items()}
        post(live, "/api/v1/nodes/held-1/revoke")
        HTTP.delete(f"{live.url}/api/v1/nodes/held-2", headers=ADMIN)
        post(live, "/api/v1/join", {"id": "held-3"}, bearer(made(live, node="held-3")["token"]))
        assert [closed_with(agent) for agent in agents.values()] == [REVOKED] * 3
    for name, token in tokens.items():
        with pytest.raises(InvalidStatus) as refused:
            dial(live, name, token)
        assert refused.value.response.status_code == 401


def test_a_server_without_a_place_keeps_no_agent(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can do nothing for the node, and no other server can while the agent is here."""
    monkeypatch.setattr("api.agents.LOOK_EVERY", 0.05)
    token = joined(live, "held-4")["token"]
    with dial(live, "held-4", token) as agent:
        live.loops.has_place = False
        try:
            assert closed_with(agent) == STOPPING
            with pytest.raises(InvalidStatus) as refused:
                dial(live, "held-4", token)
        finally:
            live.loops.has_place = True
    assert refused.value.response.status_code == 503
    dial(live, "held-4", token).close()


def dial(live: Live, name: str, token: str) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{live.port}/api/v1/nodes/{name}/connect", additional_headers=bearer(token))


def closed_with(agent: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as closed:
        agent.recv(10)
    return closed.value.rcvd.code if closed.value.rcvd is not None else None


def still_counts(live: Live, principal: Principal) -> bool:
    return live.call(lambda: revocation.still_counts(principal, live.context.store, live.context.clock.now()))


def test_a_nodes_tokens_go_with_the_node(live: Live) -> None:
    """E-5: also when another one takes its name."""
    node = joined(live, "join-12")
    assert HTTP.delete(f"{live.url}/api/v1/nodes/join-12", headers=ADMIN).status_code == 204
    assert beats(live, "join-12", node["token"]) == 401
    joined(live, "join-12")
    assert beats(live, "join-12", node["token"]) == 401
    assert post(live, "/api/v1/nodes/join-12/token", None, bearer(node["token"])).status_code == 401


def test_a_node_cannot_make_itself_more_than_a_node(live: Live) -> None:
    """E-5: a token with another role in it is signed by nobody; a node's own makes and revokes nothing."""
    token = joined(live, "join-13")["token"]
    header, claims, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    for role in ("admin", "operator", "viewer"):
        other = {k: v for k, v in said.items() if k != "node"} | {"role": role}
        forged = base64.urlsafe_b64encode(json.dumps(other).encode()).rstrip(b"=").decode()
        answer = HTTP.get(f"{live.url}/api/v1/whoami", headers=bearer(f"{header}.{forged}.{signature}"))
        assert answer.status_code == 401
    for method, path in (
        ("POST", "/api/v1/join-tokens"),
        ("GET", "/api/v1/join-tokens"),
        ("DELETE", "/api/v1/join-tokens/x"),
        ("POST", "/api/v1/nodes/join-13/revoke"),
        ("DELETE", "/api/v1/nodes/join-13"),
        ("POST", "/api/v1/tokens"),
    ):
        assert HTTP.request(method, live.url + path, headers=bearer(token)).status_code == 403, path


def test_join_tokens_are_listed_without_their_secret_and_revoked(live: Live) -> None:
    """E-5, E-8: who made it, for what, and who used it."""
    used, waiting = made(live, node="join-14"), made(live, expires_in="5m")
    post(live, "/api/v1/join", {"id": "join-14"}, bearer(used["token"]))
    answer = HTTP.get(f"{live.url}/api/v1/join-tokens", headers=ADMIN)
    assert used["token"].split("_")[2] not in answer.text
    listed = {token["id"]: token for token in answer.json()["join_tokens"]}
    assert (listed[used["id"]]["used_by"], listed[used["id"]]["node"]) == ("join-14", "join-14")
    assert "used_at" not in listed[waiting["id"]]
    url = f"{live.url}/api/v1/join-tokens/{waiting['id']}"
    assert [HTTP.delete(url, headers=ADMIN).status_code for _ in range(2)] == [204, 404]
    assert post(live, "/api/v1/join", {"id": "join-15"}, bearer(waiting["token"])).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {"expires_in": "0s"},
        {"expires_in": "721h"},
        {"expires_in": 5},
        {"node": "a/b"},
        {"labels": {"a b": "c"}},
    ],
)
def test_a_bad_wish_for_a_join_token_is_told_why(live: Live, body: object) -> None:
    """B-10: 400."""
    assert post(live, "/api/v1/join-tokens", body).status_code == 400


def test_joining_works_on_this_machine_with_auth_off() -> None:
    """E-6: for callers on loopback, as everything; the join token is asked for all the same."""
    with serve() as live:
        token = made(live)["token"]
        assert post(live, "/api/v1/join", {"id": "n1"}, {}).status_code == 401
        assert (
            post(live, "/api/v1/join", {"id": "n1"}, {**bearer(token), "X-Forwarded-For": "192.0.2.1"}).status_code
            == 403
        )
        answer = post(live, "/api/v1/join", {"id": "n1"}, bearer(token))
        assert answer.status_code == 200
        assert beats(live, "n1", answer.json()["token"]) == 204
        assert post(live, "/api/v1/nodes/n1/token", None, {}).status_code == 200
        live_node = live.context.store.get("Node", "n1")
        assert isinstance(live_node, Node)


def test_nothing_is_used_up_where_no_token_can_be_signed() -> None:
    """E-5: with auth off the signing key may be empty."""
    with serve(auth={"jwt_secret": ""}) as live:
        token = bearer(made(live)["token"])
        assert post(live, "/api/v1/join", {"id": "n1"}, token).status_code == 409
        assert live.context.store.get("Node", "n1") is None
