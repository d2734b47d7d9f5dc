"""exec, logs and cancel on a real machine (contract F-3, F-4)."""

import os
import pty
import select
import signal
import time
from pathlib import Path

import pytest

from tests.integration.cli.conftest import CLI
from tests.support.keys import make_key_pair
from tests.support.nodes import SshdFactory, SshdNode
from tests.support.server import Server

pytestmark = pytest.mark.sshd


async def test_output_streams_and_the_exit_code_are_the_commands_own(vendetta: CLI, node: SshdNode) -> None:
    """F-4: stdout to stdout, stderr to stderr, byte for byte, and its code."""
    script = "printf 'out\\377\\000'; printf err >&2; exit 7"
    done = vendetta("exec", "build-01", "--", "sh", "-c", script, expect=7)
    assert (done.out, done.err) == (b"out\xff\x00", "err")
    assert vendetta("exec", "build-01", "--", "true").out == b""


async def test_argv_is_never_joined(vendetta: CLI, node: SshdNode) -> None:
    """F-4: each word arrives as it is; no shell sees it."""
    words = ["a b", "$HOME", "'", '"', "*", "", "--server", "-x", "é\n", "--"]
    out = vendetta("exec", "build-01", "--", "printf", "[%s]", *words).out
    assert out.decode() == "".join(f"[{word}]" for word in words)


async def test_a_line_goes_to_the_shell(vendetta: CLI, node: SshdNode) -> None:
    """F-4: --shell."""
    assert vendetta("exec", "node/build-01", "--shell", "echo a b | tr a-z A-Z").text == "A B\n"


async def test_cwd_env_and_stdin(vendetta: CLI, node: SshdNode) -> None:
    """F-4: --cwd, --env with and without a value, --stdin."""
    vendetta.environ["FROM_HERE"] = "here"
    script = 'echo "$PWD $ONE $FROM_HERE"; cat'
    done = vendetta(
        "exec", "build-01", "--cwd", "/tmp", "--env", "ONE=1=1", "--env", "FROM_HERE", "--stdin",
        "--", "sh", "-c", script,
        stdin=b"line\nlast",
    )  # fmt: skip
    assert done.text == "/tmp 1=1 here\nline\nlast"
    assert "not UTF-8" in vendetta("exec", "build-01", "--stdin", "--", "cat", stdin=b"\xff", expect=2).err


async def test_timeout_is_124_and_a_signal_128_and_more(vendetta: CLI, node: SshdNode) -> None:
    """F-4: and what happened is said."""
    done = vendetta("exec", "build-01", "--timeout", "1s", "--", "sleep", "60", expect=124)
    assert done.err.startswith("vendetta: build-01: ExecTimeout")
    done = vendetta("exec", "build-01", "--shell", "kill -KILL $$", expect=137)
    assert done.err == "vendetta: build-01: Signalled: SIGKILL (9)\n"


async def test_everything_else_is_255(vendetta: CLI, node: SshdNode) -> None:
    """F-4: no such node; a command that the server refuses."""
    assert '"nope" not found' in vendetta("exec", "nope", "--", "true", expect=255).err
    assert "vendetta: build-01: " in vendetta("exec", "build-01", "--run-as", "A B", "--", "true", expect=255).err


async def test_output_comes_while_the_command_runs(vendetta: CLI, node: SshdNode, tmp_path: Path) -> None:
    """F-4: live."""
    gate = tmp_path / "gate"
    running = vendetta.start(
        "exec", "build-01", "--shell", f"echo ready; until [ -e {gate} ]; do sleep .05; done; echo on"
    )
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        gate.touch()
        assert running.communicate(timeout=30) == (b"on\n", b"")
        assert running.returncode == 0
    finally:
        running.kill()


async def test_a_large_output_arrives_whole(vendetta: CLI, node: SshdNode) -> None:
    """F-4, C-10: beyond what the result holds inline."""
    out = vendetta("exec", "build-01", "--shell", "seq 200000").out
    assert out == b"".join(b"%d\n" % number for number in range(1, 200_001))


async def test_many_nodes_are_told_apart(vendetta: CLI, node: SshdNode, server: Server) -> None:
    """F-3, F-4: prefixes, a summary, and 0, 1 or 4."""
    server.register("build-02", node, labels={"env": "dev"})
    done = vendetta("exec", "-l", "env=dev", "--", "echo", "hi")
    assert sorted(done.text.splitlines()) == ["build-01 | hi", "build-02 | hi"]
    assert done.err == "vendetta: 2 nodes: 2 succeeded\n"
    done = vendetta("exec", "build-01", "nope", "--", "echo", "hi", expect=1)
    assert done.text == "build-01 | hi\n"
    assert done.err.splitlines()[-1] == "vendetta: 2 nodes: 1 succeeded, 1 failed"
    transport = {"type": "ssh", "user": "x", "address": "127.0.0.1", "port": 1, "credential_ref": "key"}
    body = {"id": "away", "address": "127.0.0.1", "labels": {"env": "dev"}, "transport": transport}
    assert server.http.post("/api/v1/nodes", json=body).status_code == 200
    done = vendetta("exec", "-l", "env=dev", "--delivery-timeout", "3s", "--", "echo", "hi", expect=4)
    assert sorted(done.text.splitlines()) == ["build-01 | hi", "build-02 | hi"]
    assert "vendetta: away: DeliveryTimeout" in done.err
    assert done.err.splitlines()[-1] == "vendetta: 3 nodes: 2 succeeded, 1 unreachable"
    assert "no node has the labels" in vendetta("exec", "-l", "env=none", "--", "true", expect=1).err


async def test_equal_outputs_of_many_nodes_are_shown_once(vendetta: CLI, node: SshdNode, server: Server) -> None:
    """F-4: `--group`; what went wrong is told as ever."""
    for name in ("build-02", "build-03", "db"):
        server.register(name, node)
    line = 'mkdir "$HOME/lock" && echo first >&2 && exit 3; sleep 0.2; echo same'
    done = vendetta("exec", "db", "build-01", "build-02", "build-03", "nope", "-g", "--shell", line, expect=1)
    titles = [line for line in done.text.splitlines() if line.startswith("== ")]
    assert [title.rpartition("(")[2] for title in titles] == ["3 nodes)", "1 node)"]
    assert done.text == f"{titles[0]}\nsame\n{titles[1]}\n"
    assert f"{titles[1]}\nfirst\n" in done.err
    assert done.err.splitlines()[-1] == "vendetta: 5 nodes: 3 succeeded, 2 failed"
    assert vendetta("exec", "build-01", "-g", "--", "echo", "alone").text == "alone\n"
    done = vendetta("exec", "build-01", "build-02", "-g", "--", "true")
    assert done.text == "== build-[01-02] (2 nodes, no output)\n"
    assert "neither with" in vendetta("exec", "a", "b", "-g", "-d", "--", "true", expect=2).err


async def test_a_node_that_is_away_is_told_while_waiting(vendetta: CLI, node: SshdNode) -> None:
    """F-4: nobody stares at an empty terminal; a wait that ends in nothing is a timeout."""
    node.stop()
    done = vendetta("exec", "build-01", "--delivery-timeout", "6s", "--", "true", expect=124)
    waiting, end = done.err.splitlines()
    assert waiting.startswith("vendetta: build-01: waiting: NodeUnreachable")
    assert end.startswith("vendetta: build-01: DeliveryTimeout")


async def test_results_for_programs(vendetta: CLI, node: SshdNode) -> None:
    """F-4: -o json is the command as the server has it, a line each."""
    done = vendetta("exec", "build-01", "-o", "json", "--", "sh", "-c", "echo hi; exit 3", expect=3)
    assert done.json["status"]["exitCode"] == 3
    assert done.json["status"]["output"] == "hi"


async def test_describe_shows_a_commands_timeline(vendetta: CLI, node: SshdNode) -> None:
    """C-11: each phase on a line, with when it began, how long it lasted and why."""
    command = vendetta("exec", "build-01", "--detach", "--", "echo", "hi").text.strip()
    vendetta("logs", "-f", command)
    lines = vendetta("describe", command).text.partition("Timeline:\n")[2].splitlines()
    assert lines[0].split() == ["PHASE", "SINCE", "LASTED", "REASON", "MESSAGE"]
    assert lines[-1].split()[::3] == ["collected", "Completed", "output"]
    phases = [line.split()[0] for line in lines[1:]]
    assert phases[0] == "queued"
    assert phases[-5:] == ["sent", "claimed", "first_byte", "exit", "collected"]
    assert "Timeline" not in vendetta("describe", "node", "build-01").text


async def test_detached_commands_have_logs_and_can_be_cancelled(vendetta: CLI, node: SshdNode) -> None:
    """F-2: exec -d, logs, logs -f, cancel, get."""
    name = vendetta("exec", "build-01", "-d", "--shell", "echo out; echo err >&2; exec sleep 60").text.strip()
    assert name.startswith("command/exec-")
    name = name.removeprefix("command/")
    following = vendetta.start("logs", "-f", name)
    try:
        assert following.stdout is not None
        assert {following.stdout.readline(), following.stdout.readline()} == {b"out\n", b"err\n"}
        assert vendetta("logs", f"command/{name}", "--stream", "stderr").text == "err\n"
        assert vendetta("logs", name, "--stream", "stdout", "--offset", "2").text == "t\n"
        assert vendetta("cancel", f"command/{name}").text == f"command/{name} is being cancelled\n"
        assert following.communicate(timeout=30) == (b"", b"")
        assert following.returncode == 0
    finally:
        following.kill()
    assert vendetta("get", "command", name, "-o", "json").json["status"]["phase"] == "cancelled"
    assert vendetta("cancel", name).text == f"command/{name} is over already (cancelled)\n"


async def test_a_restart_of_the_server_does_not_end_an_exec(vendetta: CLI, tmp_path: Path, sshd: SshdFactory) -> None:
    """F-4, C-7: the stream is taken up where it broke, nothing twice and nothing missing."""
    folder = tmp_path / "durable"
    folder.mkdir()
    server = Server(folder).start()
    try:
        vendetta.environ["VENDETTA_SERVER"] = server.url
        server.register("build-01", await sshd())
        gate = tmp_path / "gate"
        line = f"seq 1000; until [ -e {gate} ]; do sleep .05; done; seq 1001 2000; exit 5"
        running = vendetta.start("exec", "build-01", "--shell", line)
        assert running.stdout is not None
        first = [running.stdout.readline() for _ in range(1000)]
        server.kill()
        gate.touch()
        server.start()
        rest, err = running.communicate(timeout=60)
        assert err == b""
        assert b"".join(first) + rest == b"".join(b"%d\n" % number for number in range(1, 2001))
        assert running.returncode == 5
    finally:
        server.close()


def command_id(vendetta: CLI) -> str:
    (command,) = vendetta("get", "commands", "-o", "json").json["items"]
    return str(command["metadata"]["name"])


async def test_an_interrupt_without_a_terminal_cancels(vendetta: CLI, node: SshdNode) -> None:
    """F-4: there is nobody to ask; 130."""
    running = vendetta.start("exec", "build-01", "--shell", "echo ready; exec sleep 60")
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=40)
        assert running.returncode == 130
    finally:
        running.kill()
    assert vendetta("get", "command", command_id(vendetta), "-o", "json").json["status"]["phase"] == "cancelled"


class Terminal:
    """The CLI on a terminal of its own."""

    def __init__(self, vendetta: CLI, *arguments: str) -> None:
        command, environment = vendetta.command(*arguments), vendetta.environment()
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(vendetta.folder)
            os.execve(command[0], command, environment)
        self.seen = b""

    def expect(self, text: bytes) -> None:
        """Wait until that is on the screen."""
        deadline = time.monotonic() + 40
        while text not in self.seen:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, self.seen
            try:
                self.seen += os.read(self._terminal, 65536)
            except OSError:
                raise AssertionError(f"ended: {self.seen!r}") from None

    def type(self, text: bytes) -> None:
        """Press keys."""
        os.write(self._terminal, text)

    def wait(self) -> int:
        """Return the exit code, reading whatever still comes."""
        try:
            while data := os.read(self._terminal, 65536):
                self.seen += data
        except OSError:
            pass  # how Linux says that the other side is closed
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


@pytest.mark.parametrize(
    ("keys", "phase"), [(b"\n", "cancelled"), (b"y\n", "cancelled"), (b"\x03", "cancelled"), (b"n\n", "running")]
)
async def test_an_interrupt_on_a_terminal_asks_once(vendetta: CLI, node: SshdNode, keys: bytes, phase: str) -> None:
    """F-4: yes cancels, no leaves it running; 130 either way."""
    terminal = Terminal(vendetta, "exec", "build-01", "--shell", "echo ready; exec sleep 60")
    terminal.expect(b"ready")
    terminal.type(b"\x03")
    terminal.expect(b"Cancel the command? [Y/n]")
    terminal.type(keys)
    if phase == "running":
        terminal.expect(b"it goes on: `vendetta logs -f exec-")
    assert terminal.wait() == 130
    assert b"not over" not in terminal.seen
    assert terminal.seen.count(b"it goes on") == (phase == "running")
    name = command_id(vendetta)
    assert vendetta("get", "command", name, "-o", "json").json["status"]["phase"] == phase
    vendetta("cancel", name)


async def test_trust_accepts_a_changed_host_key(vendetta: CLI, server: Server, sshd: SshdFactory) -> None:
    """F-2, E-7: a key that the node shows now, by its fingerprint; another one is refused."""
    machine = await sshd()
    server.register("build-01", machine, transport={**server.transport_to(machine), "host_keys": []})
    assert vendetta("exec", "build-01", "--", "true").err == ""
    machine.set_host_key(make_key_pair(machine.root / "other_key"))
    await machine.restart()
    done = vendetta("exec", "build-01", "--delivery-timeout", "20s", "--", "true", expect=255)
    assert "HostKeyMismatch" in done.err
    keys = vendetta("get", "node", "build-01", "-o", "json").json["status"]["hostKeys"]
    (fingerprint,) = [key["fingerprint"] for key in keys if not key["trusted"]]
    assert "vendetta: " in vendetta("node", "trust", "build-01", "--fingerprint", "SHA256:other", expect=1).err
    assert fingerprint in vendetta("node", "trust", "build-01", "--fingerprint", fingerprint).text
    assert vendetta("exec", "build-01", "--", "true").err == ""
