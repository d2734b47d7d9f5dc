"""The membership of a server that has its store for itself."""

import asyncio

import pytest

from controller.membership import LOST, Alone, View


@pytest.mark.parametrize("takes_shares", [True, False])
async def test_who_is_alone_is_told_at_once_that_all_is_settled(*, takes_shares: bool) -> None:
    """As every member is: first to stop what is not its own, then to take what is."""
    alone, told = Alone(takes_shares=takes_shares), []
    assert alone.view() == LOST

    async def on_view(view: View) -> None:
        assert alone.view() == view
        told.append(view)
        if view.settled:
            running.cancel()

    running = asyncio.create_task(alone.run(on_view))
    with pytest.raises(asyncio.CancelledError):
        await running
    live = frozenset({alone.me} if takes_shares else ())
    assert told == [View(1, live, settled=False), View(1, live, settled=True)]
