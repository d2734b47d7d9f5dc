"""Live output, from the outside: a real sshd, a real server process that is killed (contract C-11, E-2).

What the node holds is the truth: the commands here write a copy of all their output to a file.
"""

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.nodes import SshdNode
from tests.support.server import Server

pytestmark = pytest.mark.sshd

WRITER = (
    "n=0; while [ $n -lt 300 ] || [ ! -e $HOME/enough ]; do n=$((n+1));"
    " printf 'line %d \\303\\244\\n\\377\\000 %d\\n' $n $n; sleep 0.02; done"
    " | tee $HOME/copy"
)
"""Text, and bytes that are no text, in small pieces: for six seconds and until it is enough."""


class Follower(threading.Thread):
    """Reads a command's output to its end, over as many connections as that takes."""

    def __init__(
        self, server: Server, command: str, request: Callable[["Follower"], tuple[str, dict[str, str]]]
    ) -> None:
        super().__init__(daemon=True)
        self.server, self.command, self._request = server, command, request
        self.data = b""
        self.last_id = ""
        self.connections = 0
        self.problem: Exception | None = None

    def run(self) -> None:
        """Follow."""
        try:
            while self._follow():
                time.sleep(0.05)
        except Exception as error:
            self.problem = error

    def _follow(self) -> bool:
        """One connection. False: that was all."""
        query, headers = self._request(self)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.request("GET", f"/api/v1/commands/{self.command}/logs?follow=1{query}", headers=headers)
            answer = connection.getresponse()
            if answer.status == 204:
                return False
            assert answer.status == 200, answer.read()
            self.connections += 1
            self._read(answer)
        except (OSError, http.client.HTTPException):
            return True
        finally:
            connection.close()
        return bool(headers)  # an EventSource asks again until it hears that there is no more

    def _read(self, answer: http.client.HTTPResponse) -> None:
        rest = b""
        while data := answer.read1(65536):
            if answer.getheader("content-type", "").startswith("text/event-stream"):
                *frames, rest = (rest + data).split(b"\n\n")
                for frame in frames:
                    self._take(frame.decode())
            else:
                self.data += data

    def _take(self, frame: str) -> None:
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        chunk = json.loads(fields["data"])
        self.last_id = fields["id"]
        self.data += base64.b64decode(chunk["base64"]) if "base64" in chunk else chunk["data"].encode()


def by_offset(follower: Follower) -> tuple[str, dict[str, str]]:
    """Raw bytes, from where it is."""
    return f"&offset={len(follower.data)}", {}


def by_event_id(follower: Follower) -> tuple[str, dict[str, str]]:
    """As a browser's EventSource does it."""
    last = {"Last-Event-ID": follower.last_id} if follower.last_id else {}
    return "", {"Accept": "text/event-stream", **last}


@pytest.mark.parametrize("request_for", [by_offset, by_event_id])
def test_a_follower_goes_on_where_a_killed_server_left_it(
    server: Server, ssh_node: SshdNode, request_for: Callable[[Follower], tuple[str, dict[str, str]]]
) -> None:
    """C-11: three SIGKILLs in the middle of the stream; in the end every byte that the node has, once, in order."""
    server.register("node-1", ssh_node)
    command = server.send("node-1", WRITER, wait="0").json()["id"]
    follower = Follower(server, command, request_for)
    follower.start()
    for _ in range(3):
        wanted = len(follower.data) + 500
        deadline = time.monotonic() + 60
        while len(follower.data) < wanted:
            assert time.monotonic() < deadline, (follower.problem, len(follower.data))
            time.sleep(0.01)
        server.kill()
        server.start()
    (ssh_node.home / "enough").touch()
    follower.join(60)
    assert not follower.is_alive()
    assert follower.problem is None
    assert follower.data == (ssh_node.home / "copy").read_bytes()
    assert follower.connections >= 4
    assert server.command(command)["status"] == "success"


def test_an_event_source_that_has_everything_is_told_to_stop(server: Server, ssh_node: SshdNode) -> None:
    """C-11: 204 is what ends an EventSource; another id goes on from there; what is no id is 400."""
    server.register("node-1", ssh_node)
    command = server.send("node-1", "printf abc; printf defg >&2").json()["id"]
    url = f"/api/v1/commands/{command}/logs"
    for query, last, status in (("", "7", 204), ("?stream=stdout", "3", 204), ("?stream=stderr", "3", 200)):
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
        assert server.http.get(url + query, headers=headers).status_code == status
    answer = server.http.get(f"{url}?stream=stderr", headers={"Accept": "text/event-stream", "Last-Event-ID": "3"})
    assert answer.text.startswith("id: 4\ndata: ")
    assert '"data":"g"' in answer.text
    for bad in ("x", "-1", "1e3"):
        headers = {"Accept": "text/event-stream", "Last-Event-ID": bad}
        assert server.http.get(url, headers=headers).status_code == 400
    assert server.http.get(url, headers={"Last-Event-ID": "7"}).content in {b"abcdefg", b"defgabc"}


def test_output_reaches_its_follower_within_a_second(server: Server, ssh_node: SshdNode) -> None:
    """C-11: from being written on the node until it is read; in one of three rounds, since a machine is not idle."""
    server.register("node-1", ssh_node)
    assert any(_nearly_all(_ages(server)) < 0.7 for _ in range(3))


def _nearly_all(ages: list[float]) -> float:
    """The age that all but a tenth are below."""
    return sorted(ages)[len(ages) * 9 // 10]


def _ages(server: Server) -> list[float]:
    """How old each line is when a follower has it, in seconds."""
    script = "for i in $(seq 4); do date +%s.%N; sleep 0.31; date +%s.%N; sleep 0.83; date +%s.%N; sleep 0.07; done"
    command = server.send("node-1", script, wait="0").json()["id"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", f"/api/v1/commands/{command}/logs?follow=1")
    answer, ages = connection.getresponse(), []
    while line := answer.readline():
        ages.append(time.time() - float(line))
    connection.close()
    assert len(ages) == 12
    return ages


def test_a_command_that_nobody_follows_any_more_is_looked_at_less_often(
    server: Server, ssh_node: SshdNode, tmp_path: Path
) -> None:
    """C-11: a follower that hangs up costs nothing any more."""
    server.register("node-1", ssh_node)
    command = server.send("node-1", "sleep 12", wait="0").json()["id"]
    server.until(command, "running")

    def looked_at() -> float:
        lines = server.http.get("/metrics/prometheus").text.splitlines()
        return sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith("vendetta_reconciles_total") and 'kind="Command"' in line
        )

    with socket.create_connection(("127.0.0.1", server.port)) as follower:
        request = f"GET /api/v1/commands/{command}/logs?follow=1 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
        follower.sendall(request.encode())
        time.sleep(0.5)
        before = looked_at()
        time.sleep(3)
        followed = looked_at() - before
    time.sleep(0.5)
    before = looked_at()
    time.sleep(3)
    assert looked_at() - before < followed * 0.7
