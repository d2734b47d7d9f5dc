"""An agent makes itself known: what it shows to whom, and what it keeps (contract E-5)."""

import json
import stat
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import AgentProcess
from transports.agent.enrol import EnrolError, Server, enrol, renew, renewal_in
from transports.agent.main import main
from transports.agent.state import State, StateError, StateFile

GIVEN = {"token": "given", "expires_at": "2030-01-01T00:00:00Z"}


class Reception:
    """Answers by path with (status, body), and remembers who came with what."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {"/api/v1/nodes": (200, {}), "/api/v1/join": (200, GIVEN)}
        self.came: list[tuple[str, str | None, Any]] = []
        reception = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                reception.came.append((self.path, self.headers["authorization"], body))
                status, answer = reception.answers[self.path]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", answer)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def reception() -> Iterator[Reception]:
    """A server that takes everybody."""
    made = Reception()
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    """No state yet."""
    return StateFile(tmp_path / "state")


def test_the_first_start_joins_and_later_ones_register_with_what_was_given(
    reception: Reception, file: StateFile
) -> None:
    server = Server.at(reception.url, authority=None, insecure=False)
    enrol(server, file.read("n"), file, token="", join="join", facts={"labels": {"a": "b"}})
    again = enrol(server, file.read(), file, token="", join="join", facts={})
    key = again.key
    assert reception.came == [
        ("/api/v1/join", "Bearer join", {"id": "n", "labels": {"a": "b"}, "key": key}),
        ("/api/v1/nodes", "Bearer given", {"id": "n"}),
    ]


def test_an_agent_that_has_joined_starts_without_the_file_of_its_join_token(
    reception: Reception, file: StateFile, tmp_path: Path
) -> None:
    """Who takes a spent secret away must not find the agent gone at its next start."""
    file.write(State(id="n", key="k", token="given", server=reception.url))
    agent = AgentProcess(tmp_path)
    agent.launch("connect", reception.url, "--join-token-file", "gone", "--state", str(tmp_path / "state"))
    assert agent.process is not None
    try:
        while not reception.came:
            assert agent.process.poll() is None, agent.log.read_text()
            time.sleep(0.02)
    finally:
        agent.close()
    assert reception.came[0] == ("/api/v1/nodes", "Bearer given", {"id": "n"})


@pytest.mark.parametrize(
    "arguments",
    [
        ("connect", "http://127.0.0.1:1", "--id", "n", "--join-token-file", "gone"),
        ("connect", "http://127.0.0.1:1", "--id", "n", "--token-file", "gone"),
        ("connect", "https://127.0.0.1:1", "--id", "n", "--ca", "gone"),
        ("serve", "--token-file", "gone"),
        ("serve", "--tls-cert", "gone", "--tls-key", "gone"),
    ],
)
def test_a_file_that_is_not_there_is_named(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VENDETTA_AGENT_TOKEN", "a-long-random-token")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == "vendetta agent: gone: No such file or directory"


def test_a_token_is_shown_to_nobody_but_who_gave_it(reception: Reception, file: StateFile) -> None:
    file.write(State(id="n", key="k", token="anothers", expires_at="2030-01-01T00:00:00Z", server="http://other"))
    server = Server.at(reception.url, authority=None, insecure=False)
    state = enrol(server, file.read(), file, token="", join="", facts={})
    assert (state.token, state.expires_at) == ("", "")
    assert reception.came == [("/api/v1/nodes", None, {"id": "n"})]


def test_a_revoked_token_is_replaced_by_a_new_join(reception: Reception, file: StateFile) -> None:
    file.write(State(id="n", key="k", token="revoked", server=reception.url))
    reception.answers["/api/v1/nodes"] = (401, {"error": {"message": "revoked"}})
    server = Server.at(reception.url, authority=None, insecure=False)
    assert enrol(server, file.read(), file, token="", join="join", facts={}).token == "given"
    assert [path for path, _, _ in reception.came] == ["/api/v1/nodes", "/api/v1/join"]
    with pytest.raises(EnrolError, match="401: revoked") as refused:
        enrol(server, file.read(), file, token="of the administrator's", join="join", facts={})
    assert refused.value.lasting


@pytest.mark.parametrize(("status", "lasting"), [(403, True), (404, True), (408, False), (429, False), (503, False)])
def test_what_may_pass_is_told_from_what_will_not(
    reception: Reception, file: StateFile, status: int, lasting: bool
) -> None:
    reception.answers["/api/v1/nodes"] = (status, "no JSON of ours")
    server = Server.at(reception.url, authority=None, insecure=False)
    with pytest.raises(EnrolError) as refused:
        enrol(server, file.read("n"), file, token="", join="", facts={})
    assert refused.value.lasting == lasting


def test_a_redirect_is_not_followed(reception: Reception, file: StateFile) -> None:
    reception.answers["/api/v1/nodes"] = (302, f"{reception.url}/elsewhere")
    server = Server.at(reception.url, authority=None, insecure=False)
    with pytest.raises(EnrolError, match="302"):
        enrol(server, file.read("n"), file, token="secret", join="", facts={})
    assert len(reception.came) == 1


def test_a_token_is_renewed_when_a_third_of_its_time_is_left(reception: Reception, file: StateFile) -> None:
    now = datetime.now(UTC)
    state = State(
        id="n", key="k", token="old", expires_at=(now + timedelta(hours=3)).isoformat(), server=reception.url
    )
    assert renewal_in(state, now) == pytest.approx(7200, abs=1)
    assert renewal_in(state, now + timedelta(days=1)) == 0
    assert renewal_in(State(id="n", key="k"), now) is None
    reception.answers["/api/v1/nodes/n/token"] = (200, GIVEN)
    renewed = renew(Server.at(reception.url, authority=None, insecure=False), state, file)
    assert (renewed.token, file.read()) == ("given", renewed)
    assert reception.came == [("/api/v1/nodes/n/token", "Bearer old", {})]


def test_the_state_is_for_its_owner_alone_and_a_broken_one_is_not_replaced(file: StateFile, tmp_path: Path) -> None:
    file.read("n")
    path = tmp_path / "state" / "state.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(StateError, match="registered as n, not m"):
        file.read("m")
    path.write_text("{")
    with pytest.raises(StateError, match="remove it to enrol anew"):
        file.read()
    assert path.read_text() == "{"
