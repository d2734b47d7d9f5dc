"""The full product of shells, SSH servers and login shells; see tests/support/matrix.py for what is checked."""

import asyncio
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.keys import KeyPair, make_key_pair
from tests.support.matrix import EVERY_CELL, LOGINS, RUNNERS, SERVERS, SHELLS, Cell, problem_of
from tests.support.nodes import Farm

WIDTH = 6
"""Cells at the same time: they wait more than they work."""
PROBLEM, ABSENT, GOOD = "FAILED", "absent", "ok"


async def main(wanted: list[str]) -> int:
    """Examine the cells that were asked for; 1 if anything does not work, 2 if there is no such cell."""
    cells = [
        cell
        for cell in EVERY_CELL
        if {cell.shell, cell.server, cell.login, f"{cell.runner}-runner"}.issuperset(wanted)
    ]
    if not cells:
        print(
            "There is no such cell. Values:", *SHELLS, *SERVERS, *LOGINS, *(f"{runner}-runner" for runner in RUNNERS)
        )
        return 2
    verdicts: dict[Cell, str] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vendetta-matrix-") as folder:
        root = Path(folder)
        key = make_key_pair(root / "id_ed25519")
        slots = asyncio.Semaphore(WIDTH)
        await asyncio.gather(*(_one(cell, root, key, slots, verdicts, len(cells)) for cell in cells))
    _print_table(verdicts)
    bad = sum(verdict == PROBLEM for verdict in verdicts.values())
    print(f"{len(cells)} cells, {bad} with problems, {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


async def _one(
    cell: Cell, root: Path, key: KeyPair, slots: asyncio.Semaphore, verdicts: dict[Cell, str], of: int
) -> None:
    async with slots:
        began = time.monotonic()
        problem = cell.missing
        verdict = ABSENT if problem else GOOD
        if not problem and (problem := await _problem(cell, Path(tempfile.mkdtemp(prefix=str(cell), dir=root)), key)):
            verdict = PROBLEM
        verdicts[cell] = verdict
        took = time.monotonic() - began
        print(f"{len(verdicts):3}/{of}  {cell!s:31} {took:5.1f} s  {verdict}  {problem or ''}", flush=True)


async def _problem(cell: Cell, folder: Path, key: KeyPair) -> str | None:
    farm = Farm(folder, key)
    try:
        return await problem_of(cell, farm)
    finally:
        farm.close()


def _print_table(verdicts: dict[Cell, str]) -> None:
    print(f"\n{'/bin/sh':8} {'server':9} {'runner':7}", *(f"{login:8}" for login in LOGINS))
    for shell, server, runner in product(SHELLS, SERVERS, RUNNERS):
        row = [verdicts.get(Cell(shell, server, login, runner), "-") for login in LOGINS]
        print(f"{shell:8} {server:9} {runner:7}", *(f"{verdict:8}" for verdict in row))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
