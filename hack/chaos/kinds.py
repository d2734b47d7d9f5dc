"""The kinds of trouble: each a function that makes it, waits as long as it lasts, and takes it back."""

import asyncio
import re
import subprocess
import time
from collections.abc import Awaitable, Callable

from hack.chaos.coordinator import FAKETIME
from hack.chaos.disk import Disk
from hack.chaos.machine import Machine
from hack.chaos.world import World
from tests.support import processes

Kind = Callable[[World], Awaitable[None]]
UNWRITTEN = 5.0
"""Seconds of files that a loss of power may take with it: what the page cache held."""
QUIET, QUIET_CHANCE = 35.0, 0.01
"""Seconds without killing the server, and how often: cleaning up on nodes begins half a minute after a start."""
SERVING = 0.5
"""The share of servers that are left alone until they were of use; the others may die while they start."""
_ORDER = re.compile(r"echo (\S+) >>\$HOME/truth")


async def kill_server(world: World) -> None:
    """SIGKILL the server, unless it is about to die at a failpoint."""
    if not world.coordinator.waits_for_its_failpoint():
        world.coordinator.kill()


async def kill_connections(world: World) -> None:
    """SIGKILL sshd's processes for each connection."""
    machine = world.machine()
    world.count("sshd sessions killed", machine.kill_sessions(), machine.name)


async def restart_sshd(world: World) -> None:
    """End sshd and its connections, then start it again; runs go on."""
    machine = world.machine()
    async with machine.busy:
        machine.stop()
        await asyncio.sleep(world.rng.uniform(0, 1))
        await machine.start()
    world.count("sshd restarts", node=machine.name)


async def cut(world: World) -> None:
    """Reset TCP."""
    machine = world.machine()
    world.proxies[machine.name].cut()
    world.count("TCP cut", node=machine.name)


async def stall(world: World) -> None:
    """A black hole for some seconds: sometimes longer than keepalives bear, sometimes not."""
    machine = world.machine()
    world.proxies[machine.name].stall()
    world.count("TCP stalled", node=machine.name)
    await asyncio.sleep(world.rng.choice([0.3, 2, 12]))
    world.proxies[machine.name].resume()


async def half_close(world: World) -> None:
    """FIN towards the node, while its answers still arrive."""
    machine = world.machine()
    world.proxies[machine.name].half_close()
    world.count("TCP half-closed", node=machine.name)


async def delay(world: World) -> None:
    """Every piece takes longer."""
    machine = world.machine()
    world.proxies[machine.name].delay = world.rng.choice([0.02, 0.2, 0.5])
    world.count("TCP delayed", node=machine.name)
    await asyncio.sleep(2)
    world.proxies[machine.name].delay = 0


async def kill_on_node(world: World) -> None:
    """SIGKILL one process of the resident runner: runner, supervisor, reaper, ticker, pump or the command."""
    machine = world.machine()
    parts = {role: pids for role, pids in _anatomy(machine, but=world.bystanders).items() if pids}
    if parts:
        role = min(parts, key=lambda r: (world.tally[f"{r}s killed"], world.rng.random()))
        if role == "pump":
            world.journal.note("harm", node=machine.name, since=world.journal.moment())
        processes.kill([world.rng.choice(parts[role])])
        world.count(f"{role}s killed", node=machine.name)


def _anatomy(machine: Machine, *, but: set[int]) -> dict[str, list[int]]:
    """Pids outside, by what they are to the runner."""
    numbers = {inner: pid for inner, pid in machine.numbered().items() if pid not in but}
    claims = machine.claims().values()
    parts = {
        "supervisor": [pid for claim in claims if (pid := numbers.get(int(claim[5])))],
        "command": [pid for claim in claims if (pid := numbers.get(int(claim[3])))],
    }
    known = {pid for pids in parts.values() for pid in pids}
    for pid in numbers.values():
        if pid not in known and (role := _role(pid, parts["supervisor"])):
            parts.setdefault(role, []).append(pid)
    return parts


def _role(pid: int, supervisors: list[int]) -> str:
    above = processes.parent(pid)
    if processes.arguments(pid)[-1:] == ["reap"]:
        return "ticker" if processes.arguments(above)[-1:] == ["reap"] else "reaper"
    if above in supervisors or processes.name_of(pid) == "dd":
        return "pump"
    from_sshd = processes.name_of(above).startswith("sshd") and not processes.name_of(pid).startswith("sshd")
    return "runner" if from_sshd else ""


async def reboot(world: World) -> None:
    """Power off and on: another boot id, pids from 1; half of the time what was not yet written is lost."""
    machine = world.machine()
    async with machine.busy:
        machine.power_off()
        if world.rng.random() < 0.5:
            world.count("claims lost with the page cache", _forget_unwritten(world, machine), machine.name)
        await asyncio.sleep(world.rng.uniform(0, 2))
        await machine.power_on()
    world.count("reboots", node=machine.name)


def _forget_unwritten(world: World, machine: Machine) -> int:
    """Remove young claims, though not the rival's: no store knows that those were sent."""
    young = time.time() - UNWRITTEN
    logs = [log for log in machine.disk.place.glob("*/v1/*.l") if log.stat().st_mtime > young]
    lost = [log for log in logs if log.stem not in world.rival.runs]
    for log in lost:
        log.unlink()
    return len(lost)


async def reuse_pids(world: World) -> None:
    """Kill a run's supervisor and command, give their pids to bystanders, and cancel it: nobody may hit those."""
    machine = world.machine()
    async with machine.busy:
        claims, numbers = machine.claims(), machine.numbered()
        alive = [(run, claim) for run, claim in claims.items() if {int(claim[3]), int(claim[5])} <= numbers.keys()]
        if alive:
            await _reuse_pids(world, machine, *world.rng.choice(alive))


async def _reuse_pids(world: World, machine: Machine, run: str, claim: list[str]) -> None:
    numbers, pids = machine.numbered(), [int(claim[3]), int(claim[5])]
    processes.kill([numbers[pid] for pid in pids if pid in numbers])
    bystanders = [pid for wanted in pids if (pid := await asyncio.to_thread(_occupy, machine, wanted))]
    world.bystanders.update(bystanders)
    if found := _ORDER.search(_script(machine, run)):
        await world.client.cancel(found[1])
    await asyncio.sleep(4)
    for pid in bystanders:
        world.journal.note("bystander", machine=machine.name, run=run, alive=processes.name_of(pid) == "sleep")
        processes.kill([pid])
    world.count("pids reused", len(bystanders), machine.name)


def _occupy(machine: Machine, number: int) -> int:
    """Have a process run under that number on the machine; its pid outside, or 0 when somebody was faster."""
    script = f"echo {number - 1} >/proc/sys/kernel/ns_last_pid; sleep 60 >/dev/null & echo $!"
    for _ in range(20):
        done = subprocess.run([*machine.inside(), "sh", "-c", script], stdout=subprocess.PIPE, text=True, check=False)
        inner = int(done.stdout or 0)
        pid = machine.numbered().get(inner, 0)
        if inner == number or not pid:
            return pid
        processes.kill([pid])
    return 0


def _script(machine: Machine, run: str) -> str:
    """The script of a run, as it lies on the machine."""
    files = machine.disk.place.glob(f"*/v1/{run}.*.c")
    return "".join(file.read_text(errors="replace") for file in files)


async def fill_node(world: World) -> None:
    """Not a byte is left for the runner."""
    machine, since = world.machine(), world.journal.moment()
    await _filled(machine.disk, world.rng.uniform(1, 4))
    world.journal.note("harm", node=machine.name, since=since)
    world.count("node disks filled", node=machine.name)


async def fill_server(world: World) -> None:
    """Not a byte is left for the store and the log."""
    refused = world.client.refused
    await _filled(world.coordinator.disk, world.rng.uniform(1, 4))
    world.count("server disks filled")
    world.count("requests refused meanwhile", world.client.refused - refused)


async def _filled(disk: Disk, seconds: float) -> None:
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            disk.fill()
            await asyncio.sleep(0.05)
    finally:
        disk.free()


async def jump(world: World) -> None:
    """The server's wall clock jumps by a day, and later back."""
    world.coordinator.set_clock(world.rng.choice(["+1d", "-1d"]))
    await asyncio.sleep(world.rng.uniform(1, 4))
    world.coordinator.set_clock("+0")
    world.count("clock jumps", 2)


KINDS: dict[Kind, float] = {
    kill_connections: 4,
    restart_sshd: 2,
    cut: 4,
    stall: 3,
    half_close: 2,
    delay: 2,
    kill_on_node: 14,
    reboot: 2,
    reuse_pids: 3,
    fill_node: 3,
    fill_server: 3,
    jump: 2 if FAKETIME else 0,
}
"""How often each is drawn, beside the killing of the server."""


async def trouble(world: World, *, pause: float) -> None:
    """One kind after another, for ever."""
    while True:
        await asyncio.sleep(world.rng.uniform(0, 2 * pause))
        await _ends(world, world.rng.randint(0, 6), within=5)
        kind: Kind = world.rng.choices(list(KINDS), list(KINDS.values()))[0]
        await kind(world)


async def kill_servers(world: World, *, pause: float) -> None:
    """Server after server, with a quiet spell now and then in which it may do what it does rarely."""
    while True:
        if world.rng.random() < SERVING:
            await _useful(world, ends=world.rng.randint(0, 3))
        await asyncio.sleep(world.rng.uniform(0, 2 * pause))
        if world.rng.random() < QUIET_CHANCE:
            await asyncio.sleep(QUIET)
        await kill_server(world)


async def _useful(world: World, *, ends: int) -> None:
    """Wait until the server serves and has brought so many commands to an end."""
    await world.coordinator.is_ready()
    await _ends(world, ends, within=10)


async def _ends(world: World, ends: int, *, within: float) -> None:
    """Wait until so many commands have ended: on a slow machine there is less trouble, not less to look at."""
    goal, deadline = world.client.ends + ends, time.monotonic() + within
    while world.client.ends < goal and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing tells us
        await asyncio.sleep(0.05)


def heal(world: World) -> None:
    """Take back what a kind that was interrupted has left."""
    for proxy in world.proxies.values():
        proxy.delay = 0
        proxy.resume()
    for machine in world.machines:
        machine.disk.free()
    world.coordinator.disk.free()
    world.coordinator.set_clock("+0")
    world.coordinator.doomed = False
