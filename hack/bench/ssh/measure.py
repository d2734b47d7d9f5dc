"""Runs the contenders in turn, each as a process of its own with a folder that nobody used before."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from hack.bench.ssh.farm import Fleets
from hack.bench.ssh.work import Job, Result

Results = dict[str, dict[str, list[Result]]]
"""By what was measured, then by contender, one for each round that counts."""

_REST = 0.5
"""Seconds between two contenders, for what the last one left behind to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured. `each` and `held` are for one node."""

    nodes: int
    each: int
    width: int
    latency: int
    held: int
    idle: float
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A module that answers jobs, in our environment or in the peers'."""

    name: str
    module: str
    what: str
    runner: str = "auto"
    peer: bool = False


OURS = {"run protocol": "protocol", "API to result": "through"}

PEERS = {
    "rate": [
        Contender(name="parallel-ssh burst", module="parallel", what="burst", peer=True),
        Contender(name="parallel-ssh", module="parallel", what="ordinary", peer=True),
        Contender(name="ansible raw", module="ansible", what="rate", peer=True),
        Contender(name="ssh -S", module="openssh", what="rate"),
        Contender(name="bare asyncssh", module="bare", what="rate"),
    ],
    "latency": [
        Contender(name="ssh -S", module="openssh", what="latency"),
        Contender(name="bare asyncssh", module="bare", what="latency"),
    ],
    "cold": [
        Contender(name="parallel-ssh", module="parallel", what="cold", peer=True),
        Contender(name="bare asyncssh", module="bare", what="cold"),
    ],
    "idle": [Contender(name="bare asyncssh", module="bare", what="idle")],
}
NEEDED = {"rate": {1, 2, 3}, "latency": {4}, "cold": {5}, "idle": {6}}


class Bench:
    """One run over all that is wanted."""

    def __init__(
        self, folder: Path, fleets: Fleets, runners: list[str], sizes: Sizes, root: Path, peers: Path | None
    ) -> None:
        self._folder, self._fleets, self._runners, self._sizes = folder, fleets, runners, sizes
        self._root, self._peers = root, peers
        self._languages: dict[str, str] = {}
        self._jobs = 0

    def run(self, rows: set[int]) -> Results:
        """Everything that those rows need."""
        self._languages = self._find_languages()
        return {what: self._in_turn(what) for what, needed in NEEDED.items() if needed & rows}

    def _in_turn(self, what: str) -> dict[str, list[Result]]:
        contenders = list(self._contenders(what))
        found: dict[str, list[Result]] = {}
        rounds = 1 if what == "idle" else self._sizes.rounds
        for round_ in range(-1 if rounds > 1 else 0, rounds):
            for contender in contenders:
                result = self._measure(contender, what)
                if round_ >= 0:
                    found.setdefault(contender.name, []).append(result)
        return found

    def _find_languages(self) -> dict[str, str]:
        """Language of the nodes' runner -> the nodes where it comes up."""
        found: dict[str, str] = {}
        for runner in self._runners:
            probe = Contender(name=f"which runner: {runner}", module="protocol", what="cold", runner=runner)
            found.setdefault(language(self._measure(probe, "cold").label), runner)
        return found

    def _contenders(self, what: str) -> Iterator[Contender]:
        for spoken, runner in self._languages.items():
            for name, module in OURS.items():
                if module == "protocol" or what in ("rate", "latency"):
                    yield Contender(name=f"{name} ({spoken})", module=module, what=what, runner=runner)
        yield from (peer for peer in PEERS[what] if self._peers or not peer.peer)

    def _measure(self, contender: Contender, what: str) -> Result:
        self._jobs += 1
        sizes = self._sizes
        asked = Job(
            what=contender.what,
            targets=self._fleets.targets(contender.runner),
            count={"rate": sizes.each, "latency": sizes.latency, "cold": 1, "idle": sizes.held}[what],
            width=sizes.width,
            folder=str(self._folder / f"j{self._jobs}"),
            seconds=sizes.idle,
        )
        python = str(self._peers) if contender.peer else sys.executable
        command = [python, "-m", f"hack.bench.ssh.{contender.module}"]
        time.sleep(_REST)
        print(f"  {what:8} {contender.name}", file=sys.stderr, flush=True)
        with subprocess.Popen(command, cwd=self._root, stdin=-1, stdout=-1, text=True) as worker:
            try:
                answer, _ = worker.communicate(json.dumps(asdict(asked)))
            except BaseException:
                worker.terminate()  # not killed: it has processes of its own to end
                raise
        if worker.returncode:
            raise subprocess.CalledProcessError(worker.returncode, command)
        return Result(**json.loads(answer.splitlines()[-1]))


def language(label: str) -> str:
    """`sh/1 (perl)` says what the node's runner is."""
    return label.partition("(")[2].rstrip(")")
