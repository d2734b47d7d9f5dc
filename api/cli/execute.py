"""`exec`: the same command on one node or on many, its output live, its end as an exit code (contract F-4)."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from api.cli.errors import CLIError
from api.cli.interrupt import Interrupts, wants_to_cancel
from api.cli.kinds import name_of
from api.cli.outcome import ANYTHING_ELSE, INTERRUPTED, exit_code, exit_code_of_many, has_ended, sentence, verdict
from api.cli.output import warn
from api.cli.remote import Remote
from api.cli.screen import Screen
from api.cli.tables import Object

AT_ONCE: Final = 100
"""Nodes whose output is followed at the same time; the others' comes when one of these is done."""
_LOOK_AGAIN: Final = 2.0
_LAST_WAIT: Final = 30.0


@dataclass(slots=True, kw_only=True)
class Run:
    """One node's share of an exec. `command` is the newest that is known of it, `error` why nothing is."""

    node: str
    command: Object = field(default_factory=dict)
    error: CLIError | None = None
    sent: bool = False

    @property
    def name(self) -> str:
        """The command's name."""
        return name_of(self.command)

    @property
    def status(self) -> dict[str, Any]:
        """The command's status, as far as it is known."""
        return dict(self.command.get("status") or {})

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.error is not None or has_ended(self.command)


def manifest_for(node: str, spec: dict[str, Any]) -> Object:
    """The command for that node, under a name of ours."""
    return {
        "apiVersion": "vendetta.dev/v1",
        "kind": "Command",
        "metadata": {"name": f"exec-{secrets.token_hex(8)}"},
        "spec": {"node": node, "type": "exec", **spec},
    }


async def execute(
    remote: Remote, nodes: Sequence[str], spec: dict[str, Any], screen: Screen
) -> tuple[list[Run], bool]:
    """Run it everywhere and wait for all the ends. Returns the runs, and whether somebody interrupted it."""
    runs = [Run(node=node, command=manifest_for(node, spec)) for node in nodes]
    gate = asyncio.Semaphore(AT_ONCE)
    interrupts = Interrupts()
    with interrupts.caught():
        tasks = [asyncio.create_task(_one(remote, run, screen, gate), name=f"exec-{run.node}") for run in runs]
        interrupted = await _supervise(remote, runs, asyncio.gather(*tasks), interrupts)
    return runs, interrupted


async def send_only(remote: Remote, nodes: Sequence[str], spec: dict[str, Any]) -> list[Run]:
    """Send it everywhere and wait for nothing."""
    runs = [Run(node=node, command=manifest_for(node, spec)) for node in nodes]
    gate = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(_send(remote, run, gate) for run in runs))
    return runs


async def _send(remote: Remote, run: Run, gate: asyncio.Semaphore) -> None:
    async with gate:
        try:
            run.command = await remote.create(run.command)
            run.sent = True
        except CLIError as error:
            run.error = error


async def _one(remote: Remote, run: Run, screen: Screen, gate: asyncio.Semaphore) -> None:
    """One node from sending to the end. All nodes are sent to before any is waited for: the gate is fair."""
    await _send(remote, run, gate)
    if run.error is not None:
        return
    telling = asyncio.create_task(_tell_why_it_waits(remote, run), name=f"waiting-{run.node}")
    try:
        async with gate:
            async for piece in remote.follow(run.name):
                telling.cancel()
                screen.show(run.node, piece)
        run.command = await remote.get(run.name, patiently=True)
    except CLIError as error:
        run.error = error
    finally:
        telling.cancel()
        screen.finish(run.node)


async def _tell_why_it_waits(remote: Remote, run: Run) -> None:
    """Say once for each reason why nothing happens, so that nobody stares at an empty terminal."""
    told = {"Queued", None}
    while True:
        await asyncio.sleep(_LOOK_AGAIN)
        try:
            status = (await remote.get(run.name)).get("status", {})
        except CLIError:
            continue
        if status.get("phase") != "pending":
            return
        if status.get("reason") not in told:
            told.add(status.get("reason"))
            warn(f"vendetta: {run.node}: waiting: {sentence(status)}")


async def _supervise(
    remote: Remote, runs: Sequence[Run], work: "asyncio.Future[list[None]]", interrupts: Interrupts
) -> bool:
    """Wait for all the work; at Ctrl-C ask once, cancel, wait for the ends a while; at another one leave."""
    if not await _unless_interrupted(work, interrupts, None):
        await work
        return False
    what = "the command" if len(runs) == 1 else "all commands that still run"
    if await wants_to_cancel(f"Cancel {what}?", interrupts):
        await _cancel_all(remote, runs)
        await _unless_interrupted(work, interrupts, _LAST_WAIT)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    return True


async def _unless_interrupted(
    work: "asyncio.Future[list[None]]", interrupts: Interrupts, limit: float | None
) -> bool:
    """Wait for the work. True: it was interrupted, or the limit passed, and the work goes on."""
    waiting = asyncio.create_task(interrupts.next())
    both: set[asyncio.Future[Any]] = {work, waiting}
    try:
        await asyncio.wait(both, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        return not work.done()
    finally:
        waiting.cancel()


async def _cancel_all(remote: Remote, runs: Sequence[Run]) -> None:
    async def cancel(run: Run) -> None:
        try:
            await remote.cancel(run.name)
        except CLIError as error:
            warn(f"vendetta: {run.node}: cannot cancel {run.name}: {error}")

    await asyncio.gather(*(cancel(run) for run in runs if run.sent and not run.over))


def tell_ends(runs: Sequence[Run]) -> None:
    """Say on stderr what exit codes do not say, and for many nodes count."""
    many = len(runs) > 1
    for run in runs:
        why = str(run.error) if run.error else sentence(run.status) if run.over else _how_to_follow(run)
        code = run.status.get("exitCode")
        if why is None and many and code:
            why = f"exit code {code}"
        if why is not None:
            warn(f"vendetta: {run.node}: {why}")
    if many:
        verdicts = [_verdict(run) if run.over else "not over" for run in runs]
        counts = [f"{verdicts.count(word)} {word}" for word in ("succeeded", "failed", "unreachable", "not over")]
        warn(f"vendetta: {len(runs)} nodes: {', '.join(c for c in counts if not c.startswith('0 '))}")


def _how_to_follow(run: Run) -> str:
    """What there is to say of a command that nobody waits for any more."""
    if run.sent:
        return f"it goes on: `vendetta logs -f {run.name}` shows it"
    return f"it may have been sent: `vendetta get command {run.name}` tells"


def final_code(runs: Sequence[Run], *, many: bool, interrupted: bool) -> int:
    """The exit code of the whole."""
    if interrupted:
        return INTERRUPTED
    if many:
        if all(run.error is not None and run.error.exit_code == 3 for run in runs):
            return 3  # not the nodes but the server cannot be reached (F-3)
        return exit_code_of_many(_verdict(run) for run in runs)
    (run,) = runs
    return ANYTHING_ELSE if run.error is not None else exit_code(run.status)


def _verdict(run: Run) -> Any:
    if run.error is not None:
        return "failed"
    return verdict(run.status)
