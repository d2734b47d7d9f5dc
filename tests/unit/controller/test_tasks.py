"""What is under way for nodes, and ends when they are another server's."""

import asyncio

from controller.runtime.tasks import NodeTasks


async def _endless(ended: list[str], name: str) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)  # its end takes a moment, and is waited for
        ended.append(name)


async def test_the_tasks_of_all_other_nodes_end() -> None:
    """Several of one node, too; and they are over when `keep` returns."""
    ended: list[str] = []
    told: list[int] = []
    tasks = NodeTasks(on_end=lambda: told.append(1))
    for uid, name in (("a", "a1"), ("b", "b1"), ("b", "b2")):
        tasks.start(uid, _endless(ended, name), name=name)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.keep({"a"})
    assert sorted(ended) == ["b1", "b2"]
    await asyncio.sleep(0)
    assert (len(tasks), "a" in tasks, "b" in tasks, len(told)) == (1, True, False, 2)
    await tasks.keep(())
    assert len(ended) == 3


async def test_a_task_that_ends_by_itself_is_forgotten() -> None:
    """And its node may have another one."""
    tasks = NodeTasks()
    for _ in range(2):
        tasks.start("a", asyncio.sleep(0), name="short")
        assert "a" in tasks
        await asyncio.sleep(0.01)
        assert ("a" in tasks, len(tasks)) == (False, 0)
