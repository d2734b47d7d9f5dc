"""What a source says, at the server that looks at it and at all others."""

import asyncio

from controller.sources.told import TOPIC, SourceLog
from tests.support.members import LONGEST, Assembly, Board, Member, MemberBoard
from tests.support.virtualtime import EPOCH, VirtualClock, run


def test_every_server_says_what_the_source_says() -> None:
    """And the next one that looks at it goes on counting."""

    async def scene() -> None:
        assembly, clock = Assembly(), VirtualClock()
        board = Board(assembly)
        members = [Member(assembly), Member(assembly)]
        one, two = (SourceLog(MemberBoard(board, member)) for member in members)
        one.note("Refused", "no", warning=True, at=clock.now())
        one.note("Refused", "still no", warning=True, at=clock.now())
        await asyncio.sleep(LONGEST)
        assert two.all() == one.all()
        assert (two.all()[0].count, two.all()[0].first) == (2, EPOCH)

        board.drop(members[0].me)
        await asyncio.sleep(LONGEST)
        two.note("Refused", "no, again", warning=True, at=clock.now())
        MemberBoard(board, members[1]).post(TOPIC, "Applied", {"what": "another version says"})
        await asyncio.sleep(LONGEST)
        assert one.all() == two.all()
        assert [(h.message, h.count) for h in one.all()] == [("no, again", 3)]

    run(scene())
