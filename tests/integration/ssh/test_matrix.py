"""Every shell, server, login shell and runner with every other one; `hack/matrix.sh` has the full product."""

import asyncio
from itertools import combinations

import pytest

from tests.support.matrix import EVERY_CELL, EVERY_PAIR, SHELLS, Cell, problem_of
from tests.support.nodes import Farm

pytestmark = [pytest.mark.sshd, pytest.mark.dropbear, pytest.mark.busybox]


def test_the_chosen_cells_cover_every_pair() -> None:
    """Whatever two values occur together in the full product do so here."""

    def pairs(cells: tuple[Cell, ...]) -> set[tuple[str, str]]:
        return {
            pair
            for cell in cells
            for pair in combinations((cell.shell, cell.server, cell.login, f"{cell.runner} runner"), 2)
        }

    assert pairs(EVERY_PAIR) == pairs(EVERY_CELL)


@pytest.mark.parametrize("shell", SHELLS)
async def test_everything_works_with_every_server_and_login_shell_on_a_node_whose_shell_is(
    shell: str, farm: Farm
) -> None:
    """C-2, C-3, C-9, C-10, C-12: delivered once, byte-exact, limited and cancelled, whatever a node has."""
    cells = [cell for cell in EVERY_PAIR if cell.shell == shell]
    if absent := [reason for cell in cells if (reason := cell.missing)]:
        pytest.skip(absent[0])
    problems = await asyncio.gather(*(problem_of(cell, farm) for cell in cells))
    assert {str(cell): problem for cell, problem in zip(cells, problems, strict=True) if problem} == {}
