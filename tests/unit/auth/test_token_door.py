"""Auth on: bearer tokens, tickets, cookies, and who may read across origins (contract E-5, A-5, A-8)."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from api.auth import authenticator, revocation
from api.auth.authenticator import Authenticator
from api.auth.guard import Guard
from api.auth.principal import Principal, Role
from api.auth.tokens import mint, verify
from api.context import Context
from tests.support.api import AUTH_ON, SECRET, STATIC, Answer, StillClock, ask, echo, make_context


class House:
    """A guarded application, and its keys."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.guard = Guard(echo, context)
        self.desk = Authenticator(context.settings, context.store, context.clock)

    @property
    def clock(self) -> StillClock:
        """The clock, to be moved."""
        clock = self.context.clock
        assert isinstance(clock, StillClock)
        return clock

    def token(self, role: Role = Role.VIEWER, seconds: int = 3600) -> str:
        """A good token."""
        return mint(SECRET, subject="alice", role=role, expiry_seconds=seconds, now=self.clock.now())

    def ticket(self, token: str | None = None) -> str:
        """A good ticket, bought with that token."""
        principal = verify(token, SECRET, self.clock.now()) if token else Principal(name="s", role=Role.ADMIN)
        return self.desk.issue_ticket(principal)

    async def ask(self, headers: Mapping[str, str] | list[tuple[str, str]] | None = None, **how: Any) -> Answer:
        """One request, from elsewhere unless said otherwise."""
        how.setdefault("client", ("192.0.2.7", 50000))
        return await ask(self.guard, headers=headers, **how)


async def build(**sections: Any) -> House:
    auth = AUTH_ON | sections.pop("auth", {})
    server = {"auth_token": STATIC} | sections.pop("server", {})
    return House(await make_context(auth=auth, server=server, **sections))


@pytest.fixture
async def house() -> House:
    return await build()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_nobody_gets_in_without_a_token(house: House) -> None:
    """E-5: 401 with a challenge, from this machine, too."""
    answer = await house.ask(client=("127.0.0.1", 1))
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="vendetta"'


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
async def test_probes_need_no_token(house: House, path: str) -> None:
    """D-3: unauthenticated."""
    assert (await house.ask(target=path)).status == 200


@pytest.mark.parametrize(("public", "status"), [(True, 200), (False, 401)])
async def test_metrics_need_one_unless_they_are_public(public: bool, status: int) -> None:
    """D-4: viewer, unless metrics.public."""
    house = await build(metrics={"public": public})
    for path in ("/metrics", "/metrics/prometheus"):
        assert (await house.ask(target=path)).status == status


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_token_gets_in(house: House, scheme: str) -> None:
    """E-5: Authorization: Bearer; the scheme's case does not matter."""
    answer = await house.ask({"Authorization": f"{scheme} {house.token()}"})
    assert (answer.status, answer.body) == (200, b"alice")


async def test_the_static_token_is_an_administrators(house: House) -> None:
    """A-5: server.auth_token."""
    answer = await house.ask(bearer(STATIC))
    assert (answer.status, answer.body) == (200, authenticator.STATIC_NAME.encode())


@pytest.mark.parametrize(
    "value", ["Bearer ", "Bearer", "", "Basic YTpi", "Bearer x", f"Bearer {SECRET}", f"Bearer {STATIC}x", "Bearer é"]
)
async def test_anything_else_does_not(house: House, value: str) -> None:
    """E-5: 401; the signing key is never itself a token."""
    answer = await house.ask({"Authorization": value})
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_an_empty_static_token_equals_nothing() -> None:
    """A-5: empty = disabled."""
    house = await build(server={"auth_token": ""})
    for value in ("Bearer ", "Bearer", "Bearer  "):
        assert (await house.ask({"Authorization": value})).status == 401


async def test_a_static_token_equal_to_the_key_is_none() -> None:
    """E-5: the signing key is never itself a token, whatever the settings say."""
    house = await build(server={"auth_token": SECRET})
    assert (await house.ask(bearer(SECRET))).status == 401


async def test_two_authorization_headers_are_refused(house: House) -> None:
    """E-5: nobody can tell which one a proxy looked at."""
    twice = [("Authorization", f"Bearer {house.token()}"), ("Authorization", "Bearer x")]
    assert (await house.ask(twice)).status == 401


def test_secrets_are_compared_in_constant_time() -> None:
    """A-5: by hmac.compare_digest and by no other comparison."""
    names = Authenticator.bearer.__code__.co_names
    assert "compare_digest" in names


async def test_expiry_counts_for_tokens_seen_before(house: House) -> None:
    """E-5: what is remembered of a token is its signature, not its validity."""
    token = house.token(seconds=60)
    assert (await house.ask(bearer(token))).status == 200
    house.clock.at += timedelta(seconds=71)
    assert (await house.ask(bearer(token))).status == 401


async def test_revocation_counts_for_tokens_seen_before(house: House) -> None:
    """E-5: a revoked jti ends a token at once."""
    token = house.token()
    assert (await house.ask(bearer(token))).status == 200
    jti = verify(token, SECRET, house.clock.now()).token_id
    assert jti is not None
    await house.context.store.write(revocation.record(jti, None))
    answer = await house.ask(bearer(token))
    assert answer.status == 401
    assert b"revoked" in answer.body


async def test_a_ticket_is_good_for_one_connect_and_its_cookie_for_the_rest(house: House) -> None:
    """E-5: EventSource's reconnects pass with the used ticket still in the URL, until the token expires."""
    target = f"/ws?ticket={house.ticket(house.token(seconds=600))}"
    first = await house.ask(target=target)
    cookie = first.headers["set-cookie"]
    assert first.status == 200
    for part in ("Path=/ws", "HttpOnly", "SameSite=Strict", "Max-Age=600"):
        assert part in cookie
    assert (await house.ask(target=target)).status == 401
    kept = {"Cookie": "other=1; " + cookie.partition(";")[0]}
    house.clock.at += timedelta(seconds=500)
    assert (await house.ask(kept, target=target)).body == b"alice"
    house.clock.at += timedelta(seconds=200)
    assert (await house.ask(kept, target=target)).status == 401


async def test_a_ticket_lasts_a_minute(house: House) -> None:
    """E-5: expires_in 60."""
    target = f"/ws?ticket={house.ticket()}"
    house.clock.at += timedelta(seconds=75)
    assert (await house.ask(target=target)).status == 401


async def test_a_cookie_ends_with_its_token(house: House) -> None:
    """E-5: revoking the token closes the way over the cookie, too."""
    token = house.token()
    first = await house.ask(target=f"/ws?ticket={house.ticket(token)}")
    kept = {"Cookie": first.headers["set-cookie"].partition(";")[0]}
    assert (await house.ask(kept, target="/ws")).status == 200
    jti = verify(token, SECRET, house.clock.now()).token_id
    await house.context.store.write(revocation.record(jti or "", None))
    assert (await house.ask(kept, target="/ws")).status == 401


async def test_the_streams_cookie_is_found_by_its_exact_name(house: House) -> None:
    """E-5: among any others, in any number of headers, whatever those hold."""
    first = await house.ask(target=f"/ws?ticket={house.ticket(house.token())}")
    kept = first.headers["set-cookie"].partition(";")[0]
    for around in ('a="x;b=\\";{};c=1', "=;;{}", "\xff=\xff; x{};{}", " {} ;vendetta_stream2=x"):
        assert (await house.ask({"Cookie": around.replace("{}", kept)}, target="/ws")).body == b"alice"
    assert (await house.ask([("Cookie", "a=1"), ("Cookie", kept)], target="/ws")).body == b"alice"
    for wrong in ("x" + kept, kept.replace("stream", "Stream", 1), kept + "a" * 4096):
        assert (await house.ask({"Cookie": wrong}, target="/ws")).status == 401


async def test_a_hostile_cookie_costs_little(house: House) -> None:
    """A-4: one pass over it, or the door itself would be the attack."""
    begun = time.process_time()
    for hostile in ('x="' + "\\" * 16_000 + '"', 'x="' + '\\"' * 30_000 + '"', ";" * 60_000):
        for _ in range(5):
            assert (await house.ask({"Cookie": hostile}, target="/ws")).status == 401
    assert time.process_time() - begun < 1


async def test_tickets_and_cookies_open_nothing_but_the_stream(house: House) -> None:
    """E-5: bound to the path."""
    first = await house.ask(target=f"/ws?ticket={house.ticket()}")
    kept = {"Cookie": first.headers["set-cookie"].partition(";")[0]}
    assert (await house.ask(kept)).status == 401
    assert (await house.ask(target=f"/api/v1/nodes?ticket={house.ticket()}")).status == 401
    assert (await house.ask(bearer(house.ticket()))).status == 401
    assert (await house.ask(bearer(kept["Cookie"].partition("=")[2]))).status == 401


async def test_a_websocket_gets_in_by_ticket_and_by_token(house: House) -> None:
    """E-5: the same door for WebSockets."""
    assert (await house.ask(target="/ws", kind="websocket")).status == 401
    assert (await house.ask(bearer(house.token()), target="/ws", kind="websocket")).status == 101
    answer = await house.ask(target=f"/ws?ticket={house.ticket()}", kind="websocket")
    assert answer.status == 101
    assert "set-cookie" in answer.headers


ELSEWHERE = {"Origin": "https://dash.example.com"}


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_page_that_is_not_listed_cannot_read_the_stream(kind: str) -> None:
    """A-8: the Origin check, for SSE and WebSocket."""
    house = await build(websocket={"origins": ["https://other.example.com"]})
    answer = await house.ask(ELSEWHERE | bearer(house.token()), target="/ws", kind=kind)
    assert answer.status == 403


async def test_a_listed_page_can(house: House) -> None:
    """A-8: by name, with its cookie; `*` without."""
    listed = await build(websocket={"origins": ["https://dash.example.com"]})
    answer = await listed.ask(ELSEWHERE | bearer(listed.token()), target="/ws")
    assert answer.headers["access-control-allow-origin"] == "https://dash.example.com"
    assert answer.headers["access-control-allow-credentials"] == "true"
    anybody = await house.ask(ELSEWHERE | bearer(house.token()), target="/ws")
    assert anybody.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in anybody.headers


async def test_null_is_foreign(house: House) -> None:
    """E-6: a sandboxed frame is nobody's page."""
    assert (await house.ask({"Origin": "null"} | bearer(house.token()), target="/ws")).status == 403


async def test_a_cookie_does_not_work_from_a_page_that_is_only_welcome_by_star(house: House) -> None:
    """A-8: a page on another port of the same host is same-site, so that its requests carry the cookie."""
    first = await house.ask(target=f"/ws?ticket={house.ticket()}")
    kept = {"Cookie": first.headers["set-cookie"].partition(";")[0]}
    answer = await house.ask(kept | {"Origin": "http://localhost:8080"}, target="/ws", kind="websocket")
    assert answer.status == 401


async def test_preflights_are_answered_without_a_token(house: House) -> None:
    """A-8: a browser sends no Authorization with them."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answer = await house.ask(ELSEWHERE | asked, method="OPTIONS")
    assert answer.status == 204
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    closed = await build(websocket={"origins": []})
    assert (await closed.ask(ELSEWHERE | asked, method="OPTIONS")).status == 403


async def test_a_refused_answer_names_no_secret(house: House) -> None:
    """B-10: neither the token shown nor the one expected."""
    answer = await house.ask(bearer(STATIC + "x"))
    assert STATIC.encode() not in answer.body
