"""Throw-away nodes: a real sshd or dropbear on a loopback port, with a home of its own.

    async def test_echo(sshd: SshdFactory) -> None:
        node = await sshd(config=["MaxSessions 2"])
        session = await SSHTransport().connect(node.endpoint(connect_timeout=2))
        node.kill_sessions()   # SIGKILL the server's session processes; what runs on the node goes on
        await node.restart()   # same port, same home, same host key

A node runs as the user who runs the tests, unless told otherwise. `node.home` is what `$HOME` is on it, so
`.vendetta` and all that the run protocol leaves behind is under there. Everything a node started is gone when the
test has ended.
"""

import asyncio
import getpass
import os
import shlex
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.support import processes, surroundings
from tests.support.keys import KeyPair, make_key_pair
from tests.support.surroundings import Shown, account, showing
from transports.base import Endpoint, HostKeyPolicy

N = TypeVar("N", bound="Node")
ADDRESS = "127.0.0.1"


def find_program(name: str) -> str | None:
    """Where a program is, also in the folders that an ordinary PATH leaves out."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def path_without_perl(folder: Path) -> Path:
    """A folder with links to every ordinary program but perl and python: where it is the PATH, sh is all there is."""
    folder.mkdir()
    for place in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for program in Path(place).iterdir():
            if not program.name.startswith(("perl", "python3")) and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return folder


class Node(ABC):
    """One server with its own host key, home and log. Subclasses know how to launch it."""

    ready: str
    """What the log says once the port is open."""

    def __init__(self, root: Path, key: KeyPair, *, port: int = 0, host_key_algorithm: str = "ssh-ed25519") -> None:
        self.root = root
        self.key = key
        self.address = ADDRESS
        self.port = port
        self.user = getpass.getuser()
        self.home = root / "home"
        self.log = root / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.home.mkdir(mode=0o700)
        self.set_host_key(make_key_pair(root / "host_key", algorithm=host_key_algorithm))
        self.authorize(key.public)

    @property
    def key_path(self) -> Path:
        """File of the private key that opens this node."""
        return self.key.path

    @property
    def host_key(self) -> str:
        """The node's host key as an OpenSSH public key line."""
        return self._host_key.public

    def set_host_key(self, key: KeyPair) -> None:
        """Give the node another host key, in force from the next start."""
        self._host_key = key

    def take_host_key_of(self, other: "Node") -> None:
        """Be taken for that node, from the next start on."""
        self.set_host_key(other._host_key)

    def authorize(self, *public_keys: str) -> None:
        """Make these public keys, and no others, open the node."""
        folder = self.home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "authorized_keys").write_text("".join(f"{line}\n" for line in public_keys))

    def endpoint(self, **overrides: Any) -> Endpoint:
        """How to reach this node: right user, key and pinned host key, except for what is overridden."""
        right = Endpoint(
            node=self.root.name,
            address=self.address,
            port=self.port,
            user=self.user,
            credential=self.key.credential,
            host_key_policy=HostKeyPolicy.STRICT,
            host_keys=(self.host_key,),
        )
        return replace(right, **overrides)

    async def start(self) -> None:
        """Start the server and wait until it listens; on a port of its choice unless one is set."""
        for _ in range(10):
            port = self.port or free_port()
            await asyncio.to_thread(self._launch, port)
            if await self._listening():
                self.port = port
                return
            if self.port:
                break
        raise RuntimeError(f"the node did not start:\n{self.log.read_text()}")

    def _launch(self, port: int) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(port), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment()
            )

    async def _listening(self) -> bool:
        assert self.process
        for _ in range(2000):
            if self.ready in self.log.read_text(errors="replace"):
                return True
            if self.process.poll() is not None:
                return False
            await asyncio.sleep(0.005)
        return False

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """The server's command line, in the foreground."""

    def environment(self) -> dict[str, str]:
        """The server's own environment."""
        return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}

    def session_pids(self) -> list[int]:
        """The server's processes that serve one connection each."""
        if self.process is None:
            return []
        wanted = ("sshd", "dropbear")
        return [pid for pid in processes.descendants(self.process.pid) if processes.name_of(pid).startswith(wanted)]

    def runner_pids(self) -> list[int]:
        """The resident runners: what the login's shell became, on each connection."""
        assert self.process is not None
        sessions = self.session_pids()
        below = processes.descendants(self.process.pid)
        return [pid for pid in below if pid not in sessions and processes.parent(pid) in sessions]

    def kill_sessions(self) -> int:
        """SIGKILL every session process, as a crash of the server would; says how many there were."""
        victims = self.session_pids()
        processes.kill(victims)
        return len(victims)

    async def is_deserted(self) -> bool:
        """Whether all connections end within two seconds."""
        for _ in range(100):
            if not self.session_pids():
                return True
            await asyncio.sleep(0.02)
        return False

    def leftovers(self) -> list[int]:
        """Processes of this node's home that are still there, detached runs included."""
        return processes.with_environment(f"HOME={self.home}")

    def stop(self) -> None:
        """Stop listening and cut all connections. Detached runs go on."""
        if self.process is None:
            return
        sessions = self.session_pids()
        processes.kill([self.process.pid])
        processes.kill(sessions)
        self.process.wait()
        self.process = None

    async def restart(self) -> None:
        """Stop, then listen again on the same port with the same home."""
        self.stop()
        await self.start()

    def close(self) -> None:
        """Stop and end everything that ever came from this node."""
        self.stop()
        for _ in range(10):
            remaining = self.leftovers()
            processes.kill(remaining)
            if not remaining:
                return


class SshdNode(Node):
    """OpenSSH's sshd. `config` are extra sshd_config lines and win over the defaults below.

    `login_shell` is run the way sshd runs a login's shell, `SHELL -c COMMAND`, through a forced command;
    `passwd_shell` is the login's shell by a passwd file that only this node sees, `passwd_user` another login in it.
    `path` is the PATH of what runs on the node. `shown` are files that it sees in place of the machine's own.
    """

    ready = "Server listening on"

    def __init__(
        self,
        root: Path,
        key: KeyPair,
        *,
        config: Sequence[str] = (),
        login_shell: str | None = None,
        passwd_shell: str | None = None,
        passwd_user: str | None = None,
        path: str | None = None,
        environment: dict[str, str] | None = None,
        shown: Shown | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(root, key, **rest)
        self.config = list(config)
        self.shown = shown or {}
        if passwd_shell or passwd_user:
            self.user = passwd_user or self.user
            self.shown = account(root, self.home, passwd_shell or "/bin/sh", self.user) | self.shown
        if passwd_user:
            self._hand_over(passwd_user)
        if login_shell:
            self.config.append(f'ForceCommand exec {shlex.quote(login_shell)} -c "$SSH_ORIGINAL_COMMAND"')
        self.variables = {"SHLVL": "1", "HOME": str(self.home)} | ({"PATH": path} if path else {})
        self.variables |= environment or {}

    def _hand_over(self, user: str) -> None:
        """Make everything that the login needs its own."""
        self.root.chmod(0o755)
        for path in (self.home, *self.home.rglob("*")):
            shutil.chown(path, user)

    def command(self, port: int) -> list[str]:
        """Sshd in the foreground, with a configuration file written for this start."""
        program = find_program("sshd")
        assert program
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        file = self.root / "sshd_config"
        file.write_text("\n".join([*self.config, *self._defaults(port), *self._newer(program)]) + "\n")
        server = [program, "-D", "-e", "-f", str(file)]
        return showing(self.shown, server) if self.shown else server

    def _defaults(self, port: int) -> list[str]:
        variables = " ".join(f'"{name}={value}"' for name, value in self.variables.items())
        return [
            f"ListenAddress {self.address}:{port}",
            f"HostKey {self._host_key.path}",
            f"AuthorizedKeysFile {self.home / '.ssh' / 'authorized_keys'}",
            f"SetEnv {variables}",
            *("UsePAM no", "StrictModes no", "UseDNS no", "PidFile none", "PrintMotd no", "PermitRootLogin yes"),
            *("PasswordAuthentication no", "KbdInteractiveAuthentication no", "LogLevel VERBOSE"),
            *("MaxStartups 1000:30:1000", "LoginGraceTime 60"),
        ]

    def _newer(self, program: str) -> list[str]:
        """Since 9.8 sshd bars an address that failed to log in, and every test comes from the same one."""
        asked = subprocess.run(
            [program, "-t", "-f", "/dev/null", "-o", "PerSourcePenalties=no", "-h", str(self._host_key.path)],
            capture_output=True,
            check=False,
        )
        return ["PerSourcePenalties no"] if asked.returncode == 0 else []


class DropbearNode(Node):
    """Dropbear. It takes home and login shell from the passwd file only, so it is shown one of its own."""

    ready = "Not backgrounding"

    def __init__(
        self,
        root: Path,
        key: KeyPair,
        *,
        login_shell: str = "/bin/sh",
        environment: dict[str, str] | None = None,
        shown: Shown | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(root, key, host_key_algorithm="ssh-rsa", **rest)
        self.variables = {"SHLVL": "1"} | (environment or {})
        self.shown = account(root, self.home, login_shell, self.user) | (shown or {})

    def set_host_key(self, key: KeyPair) -> None:
        """Give the node another host key (RSA: 2022.83 aborts with nothing else), in force from the next start."""
        super().set_host_key(key)
        converter = find_program("dropbearconvert")
        assert converter
        target = self.root / "dropbear_host_key"
        subprocess.run([converter, "openssh", "dropbear", key.path, target], check=True, capture_output=True)

    def command(self, port: int) -> list[str]:
        """Dropbear in the foreground, in a mount namespace with a passwd file of its own."""
        program = find_program("dropbear")
        assert program
        server = [program, "-F", "-E", "-e", "-m", "-s", "-p", f"{self.address}:{port}"]
        server += ["-r", str(self.root / "dropbear_host_key"), "-P", str(self.root / "pid")]
        return showing(self.shown, server)

    def environment(self) -> dict[str, str]:
        """SHLVL keeps bash from reading ~/.bashrc for every command, as SetEnv does for sshd."""
        return super().environment() | self.variables

    @staticmethod
    def missing() -> str | None:
        """Why dropbear cannot be used here, None if it can."""
        for name in ("dropbear", "dropbearconvert"):
            if not find_program(name):
                return f"{name} is not installed"
        return surroundings.missing()


class SshdFactory(Protocol):
    """Starts an sshd node; see `SshdNode` for the options. Any number may run at once."""

    def __call__(
        self,
        *,
        port: int = 0,
        config: Sequence[str] = (),
        login_shell: str | None = None,
        path: str | None = None,
        environment: dict[str, str] | None = None,
        passwd_shell: str | None = None,
        passwd_user: str | None = None,
        shown: Shown | None = None,
        host_key_algorithm: str = "ssh-ed25519",
        key: KeyPair | None = None,
    ) -> Awaitable[SshdNode]:
        """Start one and wait until it listens."""


class DropbearFactory(Protocol):
    """Starts a dropbear node."""

    def __call__(
        self,
        *,
        port: int = 0,
        login_shell: str = "/bin/sh",
        environment: dict[str, str] | None = None,
        shown: Shown | None = None,
        key: KeyPair | None = None,
    ) -> Awaitable[DropbearNode]:
        """Start one and wait until it listens."""


class Farm:
    """Starts nodes below one folder and ends them all together."""

    def __init__(self, root: Path, key: KeyPair) -> None:
        self.root = root
        self.key = key
        self.nodes: list[Node] = []

    async def sshd(self, *, key: KeyPair | None = None, **options: Any) -> SshdNode:
        """A running sshd node (`SshdFactory`)."""
        return await self._started(SshdNode(self._folder("sshd"), key or self.key, **options))

    async def dropbear(self, *, key: KeyPair | None = None, **options: Any) -> DropbearNode:
        """A running dropbear node (`DropbearFactory`)."""
        return await self._started(DropbearNode(self._folder("dropbear"), key or self.key, **options))

    def _folder(self, kind: str) -> Path:
        folder = self.root / f"{kind}-{len(self.nodes)}"
        folder.mkdir(mode=0o700)
        return folder

    async def _started(self, node: N) -> N:
        self.nodes.append(node)
        await node.start()
        return node

    def close(self) -> None:
        """End every node, and with it all that it started."""
        for node in self.nodes:
            with suppress(ProcessLookupError):
                node.close()
