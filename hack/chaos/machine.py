"""A node that can lose its power: a real sshd among pids, a clock, a boot id and a small disk of its own.

The kernel does the lying. In the machine's namespaces pids start at 1, `/proc/uptime` starts near 0, and
`/proc/sys/kernel/random/boot_id` is another one after each boot; when its init dies, so does all that ran on it.
"""

import asyncio
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hack.chaos.disk import Disk
from tests.support import processes
from tests.support.nodes import SshdNode

INIT = (
    'mount --bind "$0" /proc/sys/kernel/random/boot_id && echo ready && exec env --ignore-signal=CHLD sleep infinity'
)
"""Pid 1 does nothing and ignores its children, which makes the kernel bury them."""
DISK_MEGABYTES = 96
PATIENCE = 20
"""Seconds for what was killed to be gone."""


class Machine(SshdNode):
    """`power_on`, `power_off`; in between all that any node of the tests can do."""

    def __init__(self, root: Path, *rest: Any, **options: Any) -> None:
        super().__init__(root, *rest, **options)
        self.name = root.name
        self.truth = self.home / "truth"
        self.copies = self.home / "copies"
        self.copies.mkdir()
        self.disk = Disk(self.home / ".vendetta", megabytes=DISK_MEGABYTES)
        self.busy = asyncio.Lock()
        """Held by whoever takes it down and brings it up again."""
        self._power: subprocess.Popen[bytes] | None = None
        self._init = 0

    async def power_on(self) -> None:
        """Boot: a boot id never seen before, pids from 1, five seconds of uptime; then sshd."""
        boot_id = self.root / "boot_id"
        boot_id.write_text(f"{uuid.uuid4()}\n")
        uptime = int(time.clock_gettime(time.CLOCK_BOOTTIME))
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += ["--time", "--boottime", str(5 - uptime), "sh", "-c", INIT, str(boot_id)]
        with (self.root / "power.log").open("ab") as log:
            self._power = await asyncio.to_thread(subprocess.Popen, command, stdout=subprocess.PIPE, stderr=log)
        assert self._power.stdout
        if await asyncio.to_thread(self._power.stdout.readline) != b"ready\n":
            raise RuntimeError(f"machine {self.name} did not boot")
        self._init = processes.descendants(self._power.pid)[0]
        await self.start()

    def power_off(self) -> None:
        """Everything on it is gone at once; its files stay."""
        if self._power is None or self._power.stdout is None:
            return
        processes.kill([self._init])
        self._power.wait(PATIENCE)
        self._power.stdout.close()
        self._power = None
        self.stop()

    def close(self) -> None:
        """Power off for good."""
        self.power_off()

    def command(self, port: int) -> list[str]:
        """Sshd, inside."""
        return [*self.inside(), *super().command(port)]

    def inside(self) -> list[str]:
        """What to put before a command to run it on the machine without sshd."""
        return ["nsenter", "--target", str(self._init), "--mount", "--pid", "--time", "--"]

    def session_pids(self) -> list[int]:
        """Sshd's processes for one connection each; the one that listens is not among them."""
        listeners = self._listeners()
        return [pid for pid in super().session_pids() if pid not in listeners]

    def stop(self) -> None:
        """End sshd, all of it. The nsenter around it must live on to bury it: else no power could go off."""
        if self.process is None:
            return
        processes.kill([*self.session_pids(), *self._listeners()])
        self.process.wait(PATIENCE)
        self.process = None

    def _listeners(self) -> Sequence[int]:
        if self.process is None:
            return ()
        return [pid for pid in processes.descendants(self.process.pid) if processes.parent(pid) == self.process.pid]

    # -- what runs on it -------------------------------------------------------------------------------------------

    def pids(self) -> Iterator[int]:
        """Every process of the machine, as numbered outside."""
        wanted = namespace(self._init)
        yield from (pid for pid in processes.pids() if wanted and namespace(pid) == wanted)

    def numbered(self) -> dict[int, int]:
        """Pid on the machine → pid outside."""
        return {inner: pid for pid in self.pids() if (inner := inner_pid(pid))}

    def claims(self) -> dict[str, list[str]]:
        """Run id → its claim (`nonce digest boot pid start pid start …`), for what runs since this boot."""
        found = {}
        boot_id = (self.root / "boot_id").read_text().strip()
        for log in self.disk.place.glob("*/v1/*.l"):
            with suppress(OSError):
                lines = [line.split() for line in log.read_text(errors="replace").splitlines() if line.endswith(" .")]
                kinds = [line[0] for line in lines]
                if "c" in kinds and "e" not in kinds and lines[kinds.index("c")][3] == boot_id:
                    found[log.stem] = lines[kinds.index("c")][1:]
        return found


def namespace(pid: int) -> str:
    """The pid namespace that a process is in; empty when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/ns/pid").readlink().name
    return ""


def inner_pid(pid: int) -> int:
    """A process's number where it lives; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0
