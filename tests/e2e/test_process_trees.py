"""Commands that do not want to end, or that end in strange ways: what the result says, and what is left on the node.

All of them are sent at once, by the first test that asks for one; each test then looks at its own. Only those that
kill or stop their parent come later, one by one: a runner in perl is the parent of all the others, too.
"""

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support import processes, surroundings
from tests.support.keys import KeyPair
from tests.support.nodes import Farm, SshdNode, find_program
from tests.support.server import Server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.sshd

CAP = 1 << 20
TAIL = 64 * 1024

STUBBORN = """
trap '' TERM
( trap '' TERM; sleep MARK; sleep MARK ) &
setsid sh -c "trap '' TERM; sleep MARK; sleep MARK" &
env setsid sh -c "sleep MARK & sleep MARK" &
sleep MARK
sleep MARK
"""
BOMB = """
trap '' TERM
for i in $(seq 100); do sleep MARK & setsid sleep MARK & done
wait
"""


@dataclass(frozen=True)
class Case:
    """A command, and its mark: an argument by which what is left of it can be found."""

    script: str
    stop: str = ""
    params: dict[str, Any] = field(default_factory=lambda: {"timeout": "60s"})


LIMITED = {"timeout": "1s", "grace": "1s"}
CANCELLED = {"timeout": "60s", "grace": "1s"}
CASES = {
    "stubborn, timeout": Case(STUBBORN, params=LIMITED),
    "stubborn, cancel": Case(STUBBORN, stop="cancel", params=CANCELLED),
    "emptied": Case("env -i setsid sleep MARK & sleep 60", params=LIMITED),
    "daemon": Case("echo early; sleep MARK & exit 3"),
    "yes, timeout": Case("exec yes MARK", params=LIMITED),
    "yes, cancel": Case("exec yes MARK", stop="cancel", params=CANCELLED),
    "bomb": Case(BOMB, params=LIMITED),
    "kills its group": Case("sleep MARK & kill -9 0; sleep MARK"),
    "kills its parent": Case('kill -9 $PPID; sleep 1; echo x >>"$HOME/orphan"'),
    "kills its parent and goes on": Case("kill -9 $PPID; trap '' TERM; sleep MARK; sleep MARK", params=LIMITED),
    "stops itself": Case("kill -STOP $$; echo never", params=LIMITED),
    "stops its group": Case("sleep MARK & kill -STOP 0; sleep MARK", params=LIMITED),
    "stops its parent": Case("kill -STOP $PPID; sleep MARK", params=LIMITED),
}
ALONE = {"kills its parent", "kills its parent and goes on", "stops its parent"}


def mark(name: str) -> str:
    """What the processes of that case have as an argument."""
    return processes.mark(4800 + list(CASES).index(name))


class Sent:
    """The cases as commands of one server."""

    def __init__(self, server: Server, node: SshdNode) -> None:
        self.server = server
        self.node = node
        self.began = time.monotonic()
        self.resident_before = resident(server)
        self._ids = {name: self._send(name, case) for name, case in CASES.items() if name not in ALONE}
        for name, case in CASES.items():
            if case.stop == "cancel":
                self._cancel(name)

    def _send(self, name: str, case: Case) -> str:
        script = case.script.replace("MARK", mark(name))
        command = self.server.send("node-1", script, wait="0", **case.params)
        return str(command.json()["id"])

    def _cancel(self, name: str) -> None:
        wait_for(lambda: processes.with_argument(mark(name)))
        response = self.server.http.post(f"/api/v1/commands/{self._ids[name]}/cancel")
        assert response.status_code in {200, 202}

    def result(self, name: str) -> dict[str, Any]:
        """How that case ended."""
        if name not in self._ids:
            for other in [*self._ids]:
                self.result(other)
            self._ids[name] = self._send(name, CASES[name])
        return self.server.ended(self._ids[name], 30)

    def log(self, name: str) -> bytes:
        """All that is kept of its output."""
        return self.server.http.get(f"/api/v1/commands/{self._ids[name]}/logs").content


def resident(server: Server) -> int:
    """Bytes of memory that the server holds."""
    assert server.process is not None
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def left(name: str) -> list[int]:
    """Processes of a case that are still there."""
    return processes.with_argument(mark(name))


@dataclass(frozen=True)
class Borrowed:
    """A command that runs as root although its login is nobody."""

    command_id: str
    mark: str


@pytest.fixture(scope="module")
def borrowed(sent: Sent, client_key: KeyPair) -> Iterator[Borrowed]:
    """Under way on a node of its own, whose passwd and sudoers nobody else sees."""
    if reason := surroundings.missing() or (None if shutil.which("sudo") else "sudo is not installed"):
        pytest.skip(reason)
    kept = processes.mark(4790)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        sudoers = root / "sudoers"
        sudoers.write_text("nobody ALL=(ALL) NOPASSWD: ALL\n")
        sudoers.chmod(0o440)
        farm = Farm(root, client_key)
        try:
            node = asyncio.run(farm.sshd(passwd_user="nobody", shown={Path("/etc/sudoers"): sudoers}))
            sent.server.register("node-2", node)
            params = {"run_as": "root", "timeout": "1s", "grace": "1s"}
            command = sent.server.send("node-2", f"trap '' TERM; sleep {kept}", wait="0", **params)
            yield Borrowed(command.json()["id"], kept)
        finally:
            processes.kill(processes.with_argument(kept))
            farm.close()


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory, client_key: KeyPair) -> Iterator[Sent]:
    """Every case, under way on one node."""
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    farm = Farm(tmp_path_factory.mktemp("farm"), client_key)
    server = Server(tmp_path_factory.mktemp("server"), output={"max_bytes": CAP}, controller={"node_concurrency": 20})
    try:
        node = asyncio.run(farm.sshd())
        server.start().register("node-1", node)
        yield Sent(server, node)
    finally:
        server.close()
        farm.close()


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [("stubborn, timeout", "timeout", "ExecTimeout"), ("stubborn, cancel", "cancelled", "Cancelled")],
)
def test_children_that_ignore_term_or_leave_the_session_end_with_the_command(
    sent: Sent, name: str, status: str, reason: str
) -> None:
    """C-12: the group, then the carriers of the cookie."""
    result = sent.result(name)
    assert (result["status"], result["reason"], result["certainty"]) == (status, reason, "confirmed")
    assert (result["exit_code"], result["signal"]) == (137, 9)
    assert left(name) == []


def test_a_process_that_cleans_its_environment_and_leaves_is_the_documented_limit(sent: Sent) -> None:
    """C-12: the command ends as told; that process is not found."""
    result = sent.result("emptied")
    assert (result["status"], result["reason"]) == ("timeout", "ExecTimeout")
    survivors = left("emptied")
    assert len(survivors) == 1
    processes.kill(survivors)


def test_a_daemon_that_holds_the_output_does_not_hold_the_result(sent: Sent) -> None:
    """C-6: the command's own exit code and duration; the daemon goes on."""
    result = sent.result("daemon")
    assert (result["status"], result["exit_code"], result["output"]) == ("error", 3, "early")
    assert re.fullmatch(r"\d+(\.\d+)?ms|[01](\.\d+)?s", result["duration"])
    daemons = left("daemon")
    assert len(daemons) == 1
    processes.kill(daemons)


@pytest.mark.parametrize(("name", "status"), [("yes, timeout", "timeout"), ("yes, cancel", "cancelled")])
def test_output_at_full_speed_stays_within_its_cap(sent: Sent, name: str, status: str) -> None:
    """C-10, C-12: head and tail are kept, what is missing is said, and the server does not grow by it."""
    result = sent.result(name)
    assert (result["status"], result["truncated"], result["output_bytes_exact"]) == (status, True, False)
    log = sent.log(name)
    assert len(log) == CAP + TAIL
    assert set(log[:CAP].split(b"\n")[:-1]) == {mark(name).encode()}
    assert left(name) == []
    assert resident(sent.server) - sent.resident_before < 60 << 20


def test_two_hundred_children_that_ignore_term_end_together(sent: Sent) -> None:
    """C-12: half of them in sessions of their own."""
    assert sent.result("bomb")["reason"] == "ExecTimeout"
    assert left("bomb") == []


def test_what_cannot_be_seen_to_end_is_told(sent: Sent, borrowed: Borrowed) -> None:
    """C-7, C-12: a login without root cannot end what its command does as root: unknown/KillUnconfirmed."""
    result = sent.server.ended(borrowed.command_id, 40)
    assert (result["status"], result["reason"], result["certainty"]) == ("unknown", "KillUnconfirmed", "unknown")
    assert "could not be seen to end" in result["error"]
    assert processes.with_argument(borrowed.mark)


def test_a_command_that_kills_its_group_ends_by_that_signal(sent: Sent) -> None:
    """C-7: error/Signalled, nothing of the runner's is hurt."""
    result = sent.result("kills its group")
    assert (result["status"], result["reason"], result["signal"]) == ("error", "Signalled", 9)
    assert left("kills its group") == []


def test_a_command_that_kills_its_parent_runs_once_to_an_unknown_end(sent: Sent) -> None:
    """C-7, C-9: unknown/SupervisorLost; it is neither repeated nor called a success."""
    result = sent.result("kills its parent")
    assert (result["status"], result["reason"], result["attempts"]) == ("unknown", "SupervisorLost", 1)
    assert (sent.node.home / "orphan").read_text() == "x\n"


def test_a_command_that_killed_its_parent_is_ended_at_its_limit(sent: Sent) -> None:
    """C-3, C-12: the limit needs no supervisor."""
    assert sent.result("kills its parent and goes on")["reason"] == "SupervisorLost"
    assert left("kills its parent and goes on") == []


@pytest.mark.parametrize("name", ["stops itself", "stops its group", "stops its parent"])
def test_a_command_that_stops_processes_is_ended_at_its_limit(sent: Sent, name: str) -> None:
    """C-3: SIGSTOP to itself, to its group, to the process that watches it."""
    result = sent.result(name)
    assert (result["status"], result["reason"]) == ("timeout", "ExecTimeout"), result
    assert left(name) == []


def test_the_node_is_as_good_as_before(sent: Sent) -> None:
    """After all of the above the next command runs, and no process of the run protocol is left over."""
    for name in CASES:
        sent.result(name)
    assert sent.server.send("node-1", "echo fine").json()["output"] == "fine"
    wait_for(lambda: len(sent.node.leftovers()) <= 2)
