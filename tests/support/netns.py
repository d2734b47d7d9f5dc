"""Two network namespaces with one wire between them; the second one can be closed to what comes from the first."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support import processes

OUTSIDE, INSIDE = "10.77.0.1", "10.77.0.2"


def missing() -> str:
    """Why this machine cannot have them; empty if it can."""
    for program in ("unshare", "nsenter", "ip", "iptables"):
        if shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
            return f"{program} is not installed"
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip()


@dataclass(frozen=True, slots=True)
class Network:
    """What to put before a command to run it in either namespace."""

    outside: list[str]
    inside: list[str]
    outside_pid: int

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread, and what it starts, be outside for a while."""
        with open("/proc/self/ns/net") as back, open(f"/proc/{self.outside_pid}/ns/net") as there:
            _set(there.fileno())
            try:
                yield
            finally:
                _set(back.fileno())

    def close_inside(self) -> None:
        """Let nothing in from here on that was not asked for from inside."""
        run([*self.inside, "iptables", "-A", "INPUT", "-i", "wire", "-m", "state", "--state", "NEW", "-j", "DROP"])


@contextmanager
def network() -> Iterator[Network]:
    """Both namespaces, gone with all that is in them afterwards."""
    holders = [_holder(), _holder()]
    outside, inside = (["nsenter", "--target", str(pid), "--net", "--"] for pid in holders)
    try:
        _wire(holders, outside, inside)
        yield Network(outside, inside, holders[0])
    finally:
        processes.kill(holders)


def _holder() -> int:
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 300"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    return holder.pid


def _wire(holders: list[int], outside: list[str], inside: list[str]) -> None:
    run([*outside, "ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", str(holders[1])])
    for where, address in ((outside, OUTSIDE), (inside, INSIDE)):
        run([*where, "ip", "address", "add", f"{address}/30", "dev", "wire"])
        run([*where, "ip", "link", "set", "wire", "up"])
        run([*where, "ip", "link", "set", "lo", "up"])


def _set(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, 0x40000000):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def run(command: list[str]) -> None:
    """Raises AssertionError with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
