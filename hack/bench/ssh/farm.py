"""The nodes: sshds on loopback, each with a home of its own. Two sets, if both runners are to be measured.

A node of the `sh` set has no perl in its PATH, so that the runner there is the one in shell.
"""

import asyncio
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from hack.bench.ssh.work import Target
from tests.support.keys import make_key_pair
from tests.support.nodes import Farm, Node, path_without_perl

CONFIG = ["MaxSessions 2000"]
"""parallel-ssh's burst opens all its channels at once; a stock sshd admits ten."""


class Fleets:
    """Sets of `count` nodes, started when first asked for. `with` ends them."""

    def __init__(self, root: Path, count: int) -> None:
        self._farm = Farm(root / "farm", make_key_pair(root / "key"))
        self._count = count
        self._fleets: dict[str, list[Target]] = {}
        (root / "farm").mkdir()
        self._bare = path_without_perl(root / "bin")
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    def __enter__(self) -> "Fleets":
        return self

    def __exit__(self, *_: object) -> None:
        self._farm.close()

    def targets(self, runner: str) -> list[Target]:
        """The nodes on which that runner comes up: `sh`, or `auto` for what there is."""
        if runner not in self._fleets:
            self._fleets[runner] = asyncio.run(self._start(str(self._bare) if runner == "sh" else None))
        return self._fleets[runner]

    async def _start(self, path: str | None) -> list[Target]:
        return [target(await self._farm.sshd(config=CONFIG, path=path)) for _ in range(self._count)]


def target(node: Node) -> Target:
    return Target(
        address=node.address, port=node.port, user=node.user, key=str(node.key_path), host_key=node.host_key
    )


def peers_python(root: Path) -> Path:
    """The peers' environment, made from its lock file when that has changed."""
    place, lock = root / ".venv-bench", root / "hack/locks/bench.txt"
    stamp = place / "lock"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        print("==> Setting up .venv-bench", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
        subprocess.run([str(place / "bin/pip"), *install], check=True)
        stamp.write_bytes(lock.read_bytes())
    return place / "bin/python"
