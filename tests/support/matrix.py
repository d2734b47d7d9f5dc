"""Shells and servers: which combinations there are, and what has to work on each.

A *cell* is a node with one shell as its /bin/sh, one SSH server and one login shell, and the language of the runner
on it. `examine` gives it every check; tests take the cells that cover each pair of values, `hack/matrix.sh` takes
all of them.
"""

import asyncio
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.support import processes, surroundings
from tests.support.nodes import DropbearNode, Farm, Node, find_program
from tests.support.runs import collect, ended, new_run, request, run
from transports.base import RunState, Session, StartRequest, StopReason
from transports.errors import AuthFailed, ConnectionLost, TransportError, UnsupportedShell
from transports.runner.client import Flavour
from transports.ssh.transport import SSHTransport

SHELLS = ("dash", "busybox", "bash", "mksh", "yash")
SERVERS = ("sshd", "dropbear")
LOGINS = ("sh", "bash", "fish", "tcsh", "zsh", "nologin")
RUNNERS: tuple[Flavour, ...] = ("sh", "perl")
NOISE = {
    "bash": (".bashrc", "echo Welcome; echo trouble >&2; printf 'no newline'"),
    "fish": (".config/fish/config.fish", "echo Welcome; echo trouble >&2"),
    "tcsh": (".tcshrc", "echo Welcome"),
    "zsh": (".zshenv", "echo Welcome; echo trouble >&2; printf '\\nVND1 0123456789abcdef hello\\n'"),
}
"""Start-up files that say something, as some people's do. (The others read none for a command.)"""
LARGE = 200_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    shell: str
    server: str
    login: str
    runner: Flavour

    def __str__(self) -> str:
        return f"{self.shell}-{self.server}-{self.login}-{self.runner}"

    @property
    def missing(self) -> str | None:
        """Why there can be no such node here."""
        if (self.server == "dropbear" and (reason := DropbearNode.missing())) or (reason := surroundings.missing()):
            return reason
        absent = [name for name in (self.shell, self.server, self.login, self.runner) if not find_program(name)]
        return f"{absent[0]} is not installed" if absent else None


EVERY_CELL = tuple(Cell(*values) for values in product(SHELLS, SERVERS, LOGINS, RUNNERS))
EVERY_PAIR = tuple(
    Cell(shell, SERVERS[(i + j) % 2], login, RUNNERS[(i + j // 2) % 2])
    for i, shell in enumerate(SHELLS)
    for j, login in enumerate(LOGINS)
)
"""Cells in which every two values that there are occur together."""


async def node_of(cell: Cell, farm: Farm) -> Node:
    """A running node of that kind, whose start-up files make noise."""
    login = "/bin/sh" if cell.login == "sh" else find_program(cell.login)
    assert login
    shown = surroundings.posix_shell(cell.shell)
    variables = {"SHLVL": "0"}  # below 1, bash reads .bashrc for a command that came over SSH
    if cell.shell == "yash" or cell.login == "fish":
        # Without it yash reads no script that goes beyond ASCII, and fish makes up a locale, at which mksh complains.
        variables["LANG"] = "C.UTF-8"
    node: Node
    if cell.server == "sshd":
        node = await farm.sshd(passwd_shell=login, shown=shown, environment=variables)
    else:
        node = await farm.dropbear(login_shell=login, shown=shown, environment=variables)
    for name, text in NOISE.values():
        file = node.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"echo spoke >>{node.home}/{file.name}.spoke\n{text}\n")
    return node


async def problem_of(cell: Cell, farm: Farm) -> str | None:
    """What does not work on a node of that kind, and what its server logged last; None if everything works."""
    node = await node_of(cell, farm)
    try:
        await examine(cell, node)
    except (AssertionError, TransportError, OSError, TimeoutError) as error:
        where = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__][-1]
        said = " | ".join(node.log.read_text(errors="replace").splitlines()[-5:])
        return f"{where.name}, line {where.lineno}: {type(error).__name__} {error}; the server's log: {said}"
    return None


async def examine(cell: Cell, node: Node) -> None:
    """Every check on a node of that kind. Raises AssertionError, or a TransportError that should not be."""
    if cell.login == "nologin":
        await _is_refused(cell, node)
        return
    async with _connected(cell, node) as session:
        await _is_what_it_says(cell, node, session)
        endless = await _started_endless_tree(cell, session)
        await asyncio.gather(*(check(node, session) for check in AT_ONCE))
        cut_off = await _cut_off(node, session)
    async with _connected(cell, node) as session:
        await _ran_once_to_its_end(session, cut_off)
        await _ended_at_its_limit(session, endless)
        await _forgets_what_is_collected(node, session)


@asynccontextmanager
async def _connected(cell: Cell, node: Node) -> AsyncIterator[Session]:
    session = await SSHTransport(runner=cell.runner).connect(node.endpoint())
    try:
        yield session
    finally:
        await session.aclose()


async def _is_refused(cell: Cell, node: Node) -> None:
    """Dropbear lets nobody in whose shell is not in /etc/shells, which nologin should not be."""
    try:
        await (await SSHTransport().connect(node.endpoint())).aclose()
    except TransportError as error:
        refusal = error
    else:
        raise AssertionError("a login without a shell was taken for a node")
    assert isinstance(refusal, AuthFailed if cell.server == "dropbear" else UnsupportedShell), refusal
    assert cell.server == "dropbear" or "not available" in str(refusal), refusal


async def _is_what_it_says(cell: Cell, node: Node, session: Session) -> None:
    """The shell that runs the runner and the command is the cell's, and the start-up files did speak."""
    _, out, _ = await run(session, "ls -Lin /proc/$$/exe | sed 's/^ *//' | cut -d ' ' -f 1; :")
    program = surroundings.program(cell.shell)
    assert int(out) == program.stat().st_ino, f"/bin/sh is not {cell.shell}"
    flavour = {"bash": "bash", "mksh": "ksh", "yash": "yash"}.get(cell.shell, "sh")
    expected = "perl" if cell.runner == "perl" else flavour
    assert session.info.runner.endswith(f"({expected})"), session.info.runner
    spoke = [path.name for path in node.home.rglob("*.spoke")]
    assert spoke == ([f"{Path(NOISE[cell.login][0]).name}.spoke"] if cell.login in NOISE else []), spoke


async def _tells_output_and_exit_code(node: Node, session: Session) -> None:
    status, out, err = await run(session, "echo \"a  b\" 'c'; echo é; echo wrong >&2; exit 3")
    assert (status.exit_code, status.signal, out, err) == (3, None, "a  b c\né\n".encode(), b"wrong\n")
    status, out, err = await run(session, "kill -9 $$")
    assert (status.exit_code, status.signal, out, err) == (137, 9, b"", b"")


async def _moves_bytes_exactly(node: Node, session: Session) -> None:
    """Output, input and script, each too large for a line and with every byte in it."""
    data = os.urandom(LARGE)
    status, out, err = await run(session, "cat; head -c 1000 /dev/zero >&2", stdin=data)
    assert (status.exit_code, out == data, err == bytes(1000)) == (0, True, True)
    status, out, _ = await run(session, "cat", stdin=bytes(range(256)))
    assert (status.exit_code, out) == (0, bytes(range(256)))
    text = "0123456789 \\0 $HOME `x` % é\n" * (LARGE // 30)
    status, out, _ = await run(session, f"cat <<'END'\n{text}END\nexit 4")
    assert (status.exit_code, out == text.encode()) == (4, True)


async def _started_endless_tree(cell: Cell, session: Session) -> StartRequest:
    """It stops its supervisor, too; but in perl that is the runner itself, which the other checks need."""
    stop = "kill -STOP $PPID; " if cell.runner == "sh" else ""
    script = f"trap '' TERM; echo x; {stop}setsid sleep 61.25 & while :; do sleep 0.2; done"
    asked = request(script, timeout=0.5, grace=0.5)
    await session.start(asked)
    return asked


async def _ended_at_its_limit(session: Session, asked: StartRequest) -> None:
    """TERM ignored, a session of its own, its supervisor stopped, the connection gone: nothing is left of it."""
    status = await ended(session, asked.run)
    assert (status.state, status.stop, status.signal) == (RunState.DONE, StopReason.TIMEOUT, 9), status
    assert (status.kill_confirmed, (await collect(session, status))[0]) == (True, b"x\n")
    assert not _carriers(asked)


async def _cancels(node: Node, session: Session) -> None:
    asked = request("echo x; sleep 62.25 & setsid sleep 62.25 & wait", grace=0.5)
    await session.start(asked)
    await session.cancel(asked.run)
    status = await ended(session, asked.run)
    assert (status.state, status.stop, status.kill_confirmed) == (RunState.DONE, StopReason.CANCEL, True), status
    assert not _carriers(asked)
    never = request('echo x >>"$HOME/never"')
    await session.cancel(never.run)
    assert (await session.start(never, wait=5)).state is RunState.TOMBSTONE
    assert not (node.home / "never").exists()


async def _answers_a_probe(node: Node, session: Session) -> None:
    probe = await session.probe()
    assert probe.facts["user"] == node.user, probe.facts


async def _cut_off(node: Node, session: Session) -> StartRequest:
    """A run was delivered when the server's side of the connection is killed."""
    asked = request('echo x >>"$HOME/witness"; sleep 0.6; cat "$HOME/witness"; exit 7')
    await session.start(asked)
    assert node.kill_sessions() > 0
    with suppress(ConnectionLost):
        await session.start(asked, wait=5)
        raise AssertionError("a session without a connection answered")
    return asked


async def _ran_once_to_its_end(session: Session, asked: StartRequest) -> None:
    """Delivered again over a new connection: one execution, its whole output, its exit code."""
    status = await session.start(asked, wait=10)
    assert (status.state, status.exit_code) == (RunState.DONE, 7), status
    assert (await collect(session, status))[0] == b"x\n"


async def _forgets_what_is_collected(node: Node, session: Session) -> None:
    """After gc the output is gone, and the claim still keeps the run from happening again."""
    asked = request('echo x >>"$HOME/once"; head -c 5000 /dev/zero')
    assert (await session.start(asked, wait=10)).stdout.kept == 5000
    await session.gc([asked.run, new_run()])
    again = await session.start(asked, wait=10)
    assert (again.state, again.exit_code) == (RunState.DONE, 0)
    assert (node.home / "once").read_text() == "x\n"
    assert [path.suffix for path in node.home.glob(f".vendetta/*/v1/{asked.run}*")] == [".l"]


def _carriers(asked: StartRequest) -> list[int]:
    return processes.with_environment(f"VENDETTA_RUN={asked.run}")


AT_ONCE: tuple[Callable[[Node, Session], Awaitable[None]], ...] = (
    _tells_output_and_exit_code,
    _moves_bytes_exactly,
    _cancels,
    _answers_a_probe,
)
"""Checks that share one session, at the same time."""
