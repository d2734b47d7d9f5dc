"""Find and end the processes that a test itself started, by pid."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def parent(pid: int) -> int:
    """The process's parent; 0 once it is gone, and for the first."""
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return int(stat.rpartition(")")[2].split()[1])
    return 0


def mark(number: int) -> str:
    """An argument for `sleep` that no other test run on this machine uses: `with_argument` finds what has it."""
    return f"{number}.{os.getpid()}"


def pids() -> Iterator[int]:
    """All process ids of the machine."""
    yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def descendants(root: int) -> list[int]:
    """Children of `root`, their children and so on, parents first."""
    children: dict[int, list[int]] = {}
    for pid in pids():
        children.setdefault(parent(pid), []).append(pid)
    found = list(children.get(root, ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def started(pid: int) -> str:
    """When the process began, in ticks since boot; empty once it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    return ""


def name_of(pid: int) -> str:
    """The process's short name, empty once it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    return ""


def arguments(pid: int) -> list[str]:
    """The process's command line, empty once it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    return []


def with_environment(variable: str) -> list[int]:
    """Processes that carry exactly this `NAME=value` in their environment."""
    wanted = variable.encode()
    found = []
    for pid in pids():
        with suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def kill(targets: list[int]) -> None:
    """SIGKILL each of these processes that is still there."""
    for pid in targets:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def with_argument(argument: str) -> list[int]:
    """Processes that have exactly this argument on their command line."""
    found = []
    for pid in pids():
        with suppress(OSError):
            if argument.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
    return found
