"""What dialled-in agents cost a server, and how a fleet of them comes back after it was restarted.

Most of them are simulated, diallers in this process that answer by themselves; some are real agents.

    .venv/bin/python -m hack.bench.agents [--simulated 500] [--real 10] [--seconds 30]
"""

import argparse
import asyncio
import random
import tempfile
import time
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

from hack.bench.idle import cost
from tests.support.agents import AgentProcess
from tests.support.server import Server
from transports.agent.dial import Dialler
from transports.agent.local import LocalNode
from transports.base import Probe, RunState, RunStatus, SessionInfo
from transports.verbs import Answer, Ask, Start, Verb


class SimulatedNode(LocalNode):
    """Answers without doing anything."""

    def __init__(self) -> None:
        super().__init__()
        self._info = SessionInfo(boot_id=str(uuid.uuid4()), runner="simulated", install_id=str(uuid.uuid4()))

    async def info(self) -> SessionInfo:
        return self._info

    async def perform(self, verb: Verb) -> Answer:
        if isinstance(verb, Ask):
            return Probe(boot_id=self._info.boot_id, uptime=1.0, facts={"os": "simulated"})
        assert isinstance(verb, Start), verb
        return RunStatus(
            run=verb.request.run,
            state=RunState.DONE,
            boot_id=self._info.boot_id,
            exit_code=0,
            duration=1_000_000,
            inline=(b"", b""),
        )


def register(server: Server, name: str) -> None:
    """As the agent would."""
    server.http.post("/api/v1/nodes", json={"id": name}).raise_for_status()


async def reachable(server: Server, wanted: int) -> list[float]:
    """Seconds from now until each of so many nodes answers probes on a connection of this server's own."""
    began, times = time.monotonic(), list[float]()
    while len(times) < wanted:
        text = (await asyncio.to_thread(server.http.get, "/metrics/prometheus")).text
        live = next(line for line in text.splitlines() if line.startswith("vendetta_sessions "))
        count = int(float(live.split()[1]))
        times += [time.monotonic() - began] * (count - len(times))
        await asyncio.sleep(0.1)
    return times


async def measure(folder: Path, simulated: int, real: int, seconds: float) -> None:
    async with AsyncExitStack() as stack:
        (folder / "server").mkdir()
        server = Server(folder / "server", logging={"level": "warning"})
        stack.callback(server.close)
        await asyncio.to_thread(server.start)
        assert server.process is not None
        _, empty = cost(server.process.pid)
        for i in range(simulated):
            await asyncio.to_thread(register, server, f"simulated-{i}")
        _, registered = cost(server.process.pid)
        agents = []
        for i in range(real):
            (own := folder / f"agent-{i}").mkdir()
            agents.append(AgentProcess(own))
            stack.callback(agents[-1].close)
            agents[-1].connect(server.url, f"real-{i}")
        await _dial(server, simulated, stack)
        await reachable(server, simulated + real)
        await asyncio.sleep(min(10, seconds))
        before, full = cost(server.process.pid)
        await asyncio.sleep(seconds)
        after, _ = cost(server.process.pid)
        resident = [cost(agent.process.pid)[1] for agent in agents if agent.process is not None]
        print(
            f"server: {empty:.1f} MiB empty, {registered:.1f} with {simulated} nodes, {full:.1f} with their agents:"
        )
        print(
            f"  {(full - registered) * 1024 / simulated:.1f} KiB an agent; {(after - before) / seconds:.1%} of a core"
        )
        print(f"agents: {max(resident, default=0):.1f} MiB resident at most, of {real}")
        await _restart(server, simulated + real)
        result = await asyncio.to_thread(server.send, f"real-{real - 1}" if real else "simulated-0", "echo back")
        assert result.json()["status"] == "success", result.text


async def _dial(server: Server, simulated: int, stack: AsyncExitStack) -> None:
    for i in range(simulated):
        url = f"{server.url.replace('http', 'ws', 1)}/api/v1/nodes/simulated-{i}/connect"
        dialler = Dialler(SimulatedNode(), url, headers=dict, version="bench", tls=None, rng=random.Random(i))
        task = asyncio.create_task(dialler.run())
        stack.callback(task.cancel)
        await asyncio.sleep(0.002)


async def _restart(server: Server, wanted: int) -> None:
    server.kill()
    began = time.monotonic()
    await asyncio.to_thread(server.start)
    assert server.process is not None
    started = time.monotonic() - began
    times = sorted(await reachable(server, wanted))
    busy, _ = cost(server.process.pid)
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    print(f"after a restart, that took {started:.1f} s, all {wanted} are back: p50 {p50:.1f} s, p99 {p99:.1f} s, "
          f"last {times[-1]:.1f} s; the server used {busy:.1f} s of CPU until then")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulated", type=int, default=500)
    parser.add_argument("--real", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), arguments.simulated, arguments.real, arguments.seconds))


if __name__ == "__main__":
    main()
