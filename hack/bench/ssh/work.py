"""What a contender is asked to do and what it answers, as JSON over standard input and output.

Every contender is a process of its own, so that none inherits another's memory, event loop or garbage. This module
is all that they share. It imports nothing but the standard library: the peers live in an environment of their own.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An SSH server: where it is and how to get in."""

    address: str
    port: int
    user: str
    key: str
    host_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One measurement: `count` commands on each target, at most `width` at once on each where that can be chosen.

    `folder` is new for every job, on the client and (by its name) on the nodes.
    """

    what: str
    targets: Sequence[Target]
    count: int
    width: int
    folder: str
    keepalive: float = 10.0
    seconds: float = 0.0

    @property
    def tokens(self) -> list[str]:
        """What the commands are to print: each of them something else."""
        return [f"hi-{i}" for i in range(self.count)]

    @property
    def base(self) -> str:
        """The folder's name, for the nodes' side."""
        return os.path.basename(self.folder)


@dataclass(slots=True, kw_only=True)
class Result:
    """`count` commands in `seconds`, each found to have printed what it should. `cpu` is the client's, in seconds."""

    count: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    times: list[float] = field(default_factory=list)
    kib_each: float = 0.0
    label: str = ""


def job() -> Job:
    """The job on standard input. From here on a SIGTERM ends this process as an exception does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asked = json.load(sys.stdin)
    return Job(**{**asked, "targets": [Target(**t) for t in asked["targets"]]})


def done(result: Result) -> None:
    """Answer."""
    print(json.dumps(asdict(result)))


def cpu() -> float:
    """CPU seconds of this process and of those children that it has waited for."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def cpu_of(pid: int) -> float:
    """CPU seconds of another process, all its threads included."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident() -> float:
    """KiB resident of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


@contextmanager
def metered(result: Result, count: int) -> Iterator[None]:
    """Account what happens inside as `count` commands."""
    used, began = cpu(), time.perf_counter()
    yield
    result.count, result.seconds, result.cpu = count, time.perf_counter() - began, cpu() - used


@contextmanager
def timed(times: list[float]) -> Iterator[None]:
    """Append the milliseconds that it took."""
    began = time.perf_counter()
    yield
    times.append((time.perf_counter() - began) * 1000)
