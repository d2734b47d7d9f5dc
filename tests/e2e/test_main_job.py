"""The main job from the outside: a real server process, a real sshd, plain HTTP."""

import asyncio
import hashlib
import re
import time
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.keys import KeyPair
from tests.support.nodes import Farm, SshdNode
from tests.support.server import Server

GO_DURATION = re.compile(r"(\d+h)?(\d+m)?\d+(\.\d+)?(ms|µs|ns|s)")
pytestmark = pytest.mark.sshd


def test_a_command_runs_and_its_result_is_the_answer(server: Server, ssh_node: SshdNode) -> None:
    """C-5, C-6: 200, the documented shape, a Go duration, exactly one newline less."""
    server.register("node-1", ssh_node)
    response = server.send("node-1", "echo 'hello world'")
    result = response.json()
    assert response.status_code == 200
    assert (result["output"], result["status"], result["exit_code"]) == ("hello world", "success", 0)
    assert GO_DURATION.fullmatch(result["duration"])
    assert result["finished"].endswith("Z")
    assert result["certainty"] == "confirmed"


def test_a_failing_command_is_answered_with_200_and_its_exit_code(server: Server, ssh_node: SshdNode) -> None:
    """C-5, C-7: error/NonZeroExit."""
    server.register("node-1", ssh_node)
    response = server.send("node-1", "echo out; echo err >&2; exit 3")
    result = response.json()
    assert response.status_code == 200
    assert (result["status"], result["reason"], result["exit_code"]) == ("error", "NonZeroExit", 3)
    assert (result["stdout"], result["stderr"]) == ("out\n", "err\n")


def test_a_timeout_leaves_no_process_on_the_node(server: Server, ssh_node: SshdNode) -> None:
    """C-3, C-12: timeout/ExecTimeout, and the whole tree is gone."""
    server.register("node-1", ssh_node)
    marker = processes.mark(4711)
    script = f"trap '' TERM; setsid sleep {marker} & sleep {marker}; sleep {marker}"
    result = server.send("node-1", script, timeout="1s", grace="1s").json()
    assert (result["status"], result["reason"]) == ("timeout", "ExecTimeout")
    assert processes.with_argument(marker) == []


def test_twenty_megabytes_arrive_byte_exact(server: Server, ssh_node: SshdNode) -> None:
    """C-10, C-11: binary output through `logs`, compared by SHA-256; the inline part is an excerpt."""
    server.register("node-1", ssh_node)
    result = server.send("node-1", "head -c 20000000 /dev/urandom | tee $HOME/copy").json()
    assert result["status"] == "success"
    assert (result["output_bytes"], result["output_bytes_exact"]) == (20_000_000, True)
    logs = server.http.get(f"/api/v1/commands/{result['id']}/logs").content
    assert hashlib.sha256(logs).digest() == hashlib.sha256((ssh_node.home / "copy").read_bytes()).digest()
    assert server.http.get(f"/api/v1/commands/{result['id']}/logs?offset=19999990").content == logs[-10:]


def test_a_killed_server_finds_its_command_again(server: Server, ssh_node: SshdNode) -> None:
    """C-7, C-9: SIGKILL while a command runs; it ends once, complete, with the right status."""
    server.register("node-1", ssh_node)
    script = "echo ran >> $HOME/truth; for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done; exit 7"
    command = server.send("node-1", script, wait="0").json()
    server.until(command["id"], "running")
    server.kill()
    server.start()
    result = server.ended(command["id"])
    assert (result["status"], result["exit_code"]) == ("error", 7)
    assert result["output"] == "\n".join(f"line {i}" for i in range(1, 7))
    assert (ssh_node.home / "truth").read_text() == "ran\n"


@pytest.mark.parametrize(
    "failpoint",
    ["delivery.decided", "delivery.intended", "delivery.answered", "claim.stored", "result.known", "result.stored"],
)
def test_a_server_killed_between_two_persisted_steps_loses_and_repeats_nothing(
    server: Server, ssh_node: SshdNode, failpoint: str
) -> None:
    """C-9: SIGKILL at each failpoint of a delivery; one execution, one result."""
    server.register("node-1", ssh_node)
    assert server.send("node-1", "true").json()["status"] == "success"
    server.stop()
    server.environment["VENDETTA_FAILPOINT"] = failpoint
    server.start()
    pause = "sleep 1" if failpoint == "claim.stored" else "true"
    command = server.send("node-1", f"echo ran >> $HOME/truth; {pause}; echo done", wait="0").json()
    assert server.process is not None
    assert server.process.wait(20) == -9
    server.environment.clear()
    server.start()
    result = server.ended(command["id"])
    assert (result["status"], result["output"]) == ("success", "done")
    assert (ssh_node.home / "truth").read_text() == "ran\n"


def test_killed_connections_are_no_event(server: Server, ssh_node: SshdNode) -> None:
    """C-9: SIGKILL of sshd's session processes mid-run; the output is complete all the same."""
    server.register("node-1", ssh_node)
    script = "for i in $(seq 40); do echo line $i; sleep 0.1; done"
    command = server.send("node-1", script, wait="0").json()
    server.until(command["id"], "running")
    for _ in range(3):
        time.sleep(0.7)
        ssh_node.kill_sessions()
    result = server.ended(command["id"])
    assert (result["status"], result["output"]) == ("success", "\n".join(f"line {i}" for i in range(1, 41)))


def test_a_cancelled_command_ends_with_its_tree(server: Server, ssh_node: SshdNode) -> None:
    """C-11, C-12: cancelled only once its end was seen."""
    server.register("node-1", ssh_node)
    marker = processes.mark(4712)
    command = server.send("node-1", f"setsid sleep {marker} & sleep {marker}", wait="0").json()
    server.until(command["id"], "running")
    assert server.http.post(f"/api/v1/commands/{command['id']}/cancel").status_code in {200, 202}
    assert server.ended(command["id"])["status"] == "cancelled"
    assert processes.with_argument(marker) == []


def test_how_a_command_is_run(server: Server, ssh_node: SshdNode) -> None:
    """C-2: argv without a shell, env, cwd, stdin, another shell; user text is never part of a shell line."""
    server.register("node-1", ssh_node)
    nasty = "$(touch $HOME/pwned) `id` ; 'x\" \\ é"
    for params, output in (
        ({"argv": ["printf", "%s|", nasty, "b c"]}, f"{nasty}|b c|"),
        ({"argv": ["sh", "-c", 'echo "$NAME"'], "env": {"NAME": nasty}}, nasty),
        ({"argv": ["pwd"], "cwd": "/usr"}, "/usr"),
        ({"argv": ["cat"], "stdin": nasty}, nasty),
        ({"argv": ["cat"]}, ""),
    ):
        assert server.send("node-1", **params).json()["output"] == output, params
    assert server.send("node-1", "echo ${BASH_VERSION:+bash}", shell="/bin/bash").json()["output"] == "bash"
    assert not (ssh_node.home / "pwned").exists()


def test_a_secret_by_reference_reaches_the_command_and_nothing_else(server: Server, ssh_node: SshdNode) -> None:
    """E-8: resolved at delivery; not in the stored command, the log of the server, or the store's file."""
    server.register("node-1", ssh_node)
    secret = "correct-horse-battery"
    (server.credentials / "env").mkdir()
    (server.credentials / "env" / "api-key").write_text(secret + "\n")
    result = server.send(
        "node-1", 'printf %s "$KEY" | sha256sum | cut -c1-64', env={"KEY": {"credential_ref": "api-key"}}
    ).json()
    assert result["output"] == hashlib.sha256(secret.encode()).hexdigest()
    server.stop()
    for path in server.folder.rglob("*"):
        if path.is_file() and server.credentials not in path.parents:
            assert secret.encode() not in path.read_bytes(), path


def test_live_output_can_be_followed(server: Server, ssh_node: SshdNode) -> None:
    """C-11: `follow=1` delivers output while the command runs and ends with it."""
    server.register("node-1", ssh_node)
    command = server.send("node-1", "for i in 1 2 3 4; do echo $i; sleep 0.7; done", wait="0").json()
    seen: list[tuple[float, bytes]] = []
    began = time.monotonic()
    with server.http.stream("GET", f"/api/v1/commands/{command['id']}/logs?follow=1") as response:
        seen.extend((time.monotonic() - began, piece) for piece in response.iter_raw())
    assert b"".join(piece for _, piece in seen) == b"1\n2\n3\n4\n"
    assert seen[0][0] < 2 < seen[-1][0]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("wrong key", "AuthFailed"),
        ("garbage key", "AuthFailed"),
        ("missing credential", "AuthFailed"),
        ("changed host key", "HostKeyMismatch"),
        ("nologin", "UnsupportedShell"),
    ],
)
def test_a_permanent_refusal_ends_a_command_at_once(
    server: Server, farm: Farm, client_key: KeyPair, trouble: str, reason: str
) -> None:
    """C-7, E-7: error with the reason, a sentence, and no execution."""
    node = asyncio.run(farm.sshd(config=["ForceCommand /usr/sbin/nologin"] if trouble == "nologin" else []))
    transport = server.transport_to(node)
    if trouble == "wrong key":
        node.authorize("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPp3Lm0M8Qq9sXGm3vNn5w2v7Fq3iYb1cJj0h0S5mJpQ")
    elif trouble == "garbage key":
        (server.credentials / "key").write_text("this is no key\n")
    elif trouble == "missing credential":
        transport["credential_ref"] = "nobody"
    elif trouble == "changed host key":
        transport["host_keys"] = [client_key.public]
    server.register("node-1", node, transport=transport)
    began = time.monotonic()
    result = server.send("node-1", "echo ran > $HOME/truth").json()
    assert (result["status"], result["reason"]) == ("error", reason), result
    assert len(result["error"]) > 20
    assert time.monotonic() - began < 15
    assert not (node.home / "truth").exists()


def test_trusting_a_changed_host_key_lets_the_node_in(
    server: Server, ssh_node: SshdNode, client_key: KeyPair
) -> None:
    """E-7: accept-new pins at first contact; the changed key is refused until an admin trusts its fingerprint."""
    transport = server.transport_to(ssh_node, host_keys=[])
    server.register("node-1", ssh_node, transport=transport)
    assert server.send("node-1", "echo one").json()["output"] == "one"
    ssh_node.set_host_key(client_key)
    asyncio.run(ssh_node.restart())
    deadline = time.monotonic() + 30
    while (result := server.send("node-1", "echo two").json())["status"] == "success":
        assert time.monotonic() < deadline
    assert result["reason"] == "HostKeyMismatch"
    keys: list[dict[str, object]] = []
    while not any(not k["trusted"] for k in keys):
        assert time.monotonic() < deadline
        node = server.http.get("/apis/vendetta.dev/v1/nodes/node-1").json()
        keys = node["status"].get("hostKeys", [])
        time.sleep(0.1)
    fingerprint = next(k["fingerprint"] for k in keys if not k["trusted"])
    assert server.http.post("/api/v1/nodes/node-1/trust", json={"fingerprint": fingerprint}).is_success
    assert server.send("node-1", "echo three").json()["output"] == "three"


def test_an_unreachable_node_keeps_a_command_pending_until_its_time_is_over(
    server: Server, ssh_node: SshdNode
) -> None:
    """C-5, C-7: a closed port and an unknown host: pending/NodeUnreachable, then timeout/DeliveryTimeout."""
    transport = server.transport_to(ssh_node)
    ssh_node.stop()
    server.register("closed", ssh_node, transport=transport)
    server.register("nowhere", ssh_node, transport={**transport, "address": "no-such-host.invalid"})
    for node in ("closed", "nowhere"):
        response = server.send(node, "true", wait="1s", delivery_timeout="4s")
        assert response.status_code == 202
        assert response.headers["location"].endswith(response.json()["id"])
        result = server.ended(response.json()["id"])
        assert (result["status"], result["reason"]) == ("timeout", "DeliveryTimeout")


def test_a_second_server_on_the_same_file_is_refused(server: Server, tmp_path: Path) -> None:
    """A-6: the second start fails at once with a sentence; a killed server starts again at once."""
    folder = tmp_path / "second"
    folder.mkdir()
    second = Server(folder, registry={"dsn": str(server.folder / "vendetta.db")})
    with pytest.raises(AssertionError, match=r"vendetta\.db"):
        second.start()
    second.close()
    server.kill()
    server.start()


def test_a_port_in_use_is_a_sentence(server: Server, tmp_path: Path) -> None:
    """F-1: what failed, and what to do; no traceback."""
    folder = tmp_path / "second"
    folder.mkdir()
    second = Server(folder, server={"port": server.port})
    second.http.base_url = "http://127.0.0.1:9"
    with pytest.raises(AssertionError, match="--port") as caught:
        second.start()
    assert "Traceback" not in str(caught.value)
    second.close()
