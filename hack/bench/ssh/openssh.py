"""OpenSSH's own multiplexing: one master a node, and a new `ssh -S` process for every command.

The masters are started before and waited for; their CPU counts as the client's.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.bench.ssh.work import Job, Result, Target, cpu_of, done, job, metered, timed

PROCESSES = "20"


def options(asked: Job, target: Target) -> list[str]:
    """The arguments but for the command, for master and clients alike. A socket's path may have 100 bytes."""
    known = Path(asked.folder) / "known_hosts"
    return [
        *("-F", "none", "-S", f"{asked.folder}/{target.port}", "-p", str(target.port), "-l", target.user),
        *("-i", target.key, "-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"),
        *("-c", "aes128-gcm@openssh.com"),
    ]


@contextmanager
def masters(asked: Job) -> Iterator[list[int]]:
    """Their process ids."""
    folder = Path(asked.folder)
    folder.mkdir()
    hosts = [f"[{t.address}]:{t.port} {t.host_key}\n" for t in asked.targets]
    (folder / "known_hosts").write_text("".join(hosts))
    started = [subprocess.Popen(["ssh", *options(asked, t), "-M", "-N", t.address]) for t in asked.targets]
    try:
        deadline = time.monotonic() + 20
        while not all((folder / str(t.port)).is_socket() for t in asked.targets):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield [m.pid for m in started]
    finally:
        for master in started:
            master.kill()  # it can miss a SIGTERM, and then sleeps for minutes
            master.wait()


def rate(asked: Job) -> Result:
    """`xargs -P 20` over all commands, node by node in turn."""
    tasks = [
        " ".join([*options(asked, t), t.address, "echo", f"{t.port}-{token}"])
        for token in ["warm", *asked.tokens]
        for t in asked.targets
    ]
    result, ten = Result(), len(asked.targets)
    with masters(asked) as pids:
        fan_out(tasks[:ten])
        before = sum(map(cpu_of, pids))
        with metered(result, asked.count * ten):
            printed = fan_out(tasks[ten:])
        result.cpu += sum(map(cpu_of, pids)) - before
    assert sorted(printed) == sorted(f"{t.port}-{token}" for token in asked.tokens for t in asked.targets)
    return result


def fan_out(tasks: list[str]) -> list[str]:
    command = ["xargs", "-P", PROCESSES, "-L", "1", "ssh"]
    return subprocess.run(command, input="\n".join(tasks), stdout=-1, text=True, check=True).stdout.split()


def latency(asked: Job) -> Result:
    """One `ssh -S` at a time on one node."""
    target = asked.targets[0]
    command = ["ssh", *options(asked, target), target.address]
    result = Result()
    with masters(asked) as pids:
        for _ in range(10):
            subprocess.run([*command, "true"], check=True, stdin=subprocess.DEVNULL)
        before = cpu_of(pids[0])
        with metered(result, asked.count):
            for token in asked.tokens:
                with timed(result.times):
                    ran = subprocess.run([*command, f"echo {token}"], stdin=subprocess.DEVNULL, stdout=-1, check=True)
                assert ran.stdout == f"{token}\n".encode()
        result.cpu += cpu_of(pids[0]) - before
    return result


if __name__ == "__main__":
    asked = job()
    done({"rate": rate, "latency": latency}[asked.what](asked))
