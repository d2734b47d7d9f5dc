# ruff: noqa: ASYNC221
"""Round trips of the resident runner on this machine: `hack/bench/runner.py [shell … | perl]`.

`perl` is the runner in perl, its commands run by /bin/sh; any other word is a shell, with the runner in it.

No sshd in between: what is measured is the runner, its supervisors and its client.
"""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from transports.base import RunId, StartRequest
from transports.runner.client import Runner

PLACE = os.environ.get("PLACE", "/dev/shm")  # deletions make ext4 slow: see docs/designs/runner.md
SERIAL, PARALLEL, WIDTH = 300, 1000, 4


class LocalChannel:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.stdin, self.stdout = process, process.stdin, process.stdout

    async def write(self, data: bytes, /) -> None:
        self.stdin.write(data)
        await self.stdin.drain()

    async def read(self, n: int, /) -> bytes:
        return await self.stdout.read(n)

    async def write_eof(self) -> None:
        self.stdin.write_eof()

    async def aclose(self) -> None:
        self.stdin.close()
        await self.process.wait()


def request(script: bytes = b"true") -> StartRequest:
    return StartRequest(run=RunId(os.urandom(16).hex() + ".1"), script=script)


async def measure(flavour: str) -> None:
    with tempfile.TemporaryDirectory(dir=PLACE, ignore_cleanup_errors=True) as home:
        shell = Path(home) / "sh"
        program = "sh" if flavour == "perl" else flavour
        shell.symlink_to(subprocess.check_output(["which", program], text=True).strip())
        env = {"HOME": home, "PATH": os.environ["PATH"]}

        async def open_channel(command: str) -> LocalChannel:
            return LocalChannel(
                await asyncio.create_subprocess_exec(
                    str(shell), "-c", command, stdin=-1, stdout=-1, cwd=home, env=env, start_new_session=True
                )
            )

        before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        began = time.perf_counter()
        runner = await Runner.launch(open_channel, shell=str(shell), flavour="perl" if flavour == "perl" else "sh")
        up = time.perf_counter() - began
        await serial(runner, 50)
        times = sorted(await serial(runner, SERIAL))
        pings = sorted([await runner.ping() for _ in range(100)])
        rate = await parallel(runner)
        await runner.aclose()
        cpu = (sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before) / (50 + SERIAL + PARALLEL)
        print(
            f"{flavour:8} launch {up * 1e3:5.1f} ms   ping p50 {statistics.median(pings) * 1e3:4.2f} ms   "
            f"true p50 {statistics.median(times) * 1e3:5.2f} p99 {times[len(times) * 99 // 100] * 1e3:5.2f} ms   "
            f"{rate:5.0f}/s at {WIDTH} in flight   node CPU {cpu * 1e3:4.2f} ms a command"
        )


async def serial(runner: Runner, count: int) -> list[float]:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        status = await runner.start(request(), wait=30)
        times.append(time.perf_counter() - began)
        assert status.exit_code == 0, status
        assert status.inline == (b"", b""), status
    return times


async def parallel(runner: Runner) -> float:
    began = time.perf_counter()
    await asyncio.gather(*(serial(runner, PARALLEL // WIDTH) for _ in range(WIDTH)))
    return PARALLEL / (time.perf_counter() - began)


async def main() -> None:
    for flavour in sys.argv[1:] or ["perl", "dash", "busybox", "bash", "mksh", "yash"]:
        await measure(flavour)


asyncio.run(main())
