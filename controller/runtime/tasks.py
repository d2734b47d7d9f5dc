"""Tasks that are under way for nodes, to be ended when the nodes are another server's."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any


class NodeTasks:
    """Tasks by the uid of their node. `on_end` is called after each one's end."""

    def __init__(self, on_end: Callable[[], None] = lambda: None) -> None:
        self._tasks: dict[str, set[asyncio.Task[None]]] = {}
        self._count = 0
        self._on_end = on_end

    def __len__(self) -> int:
        """How many are under way."""
        return self._count

    def __contains__(self, uid: object) -> bool:
        """Whether any is under way for that node."""
        return uid in self._tasks

    def start(self, uid: str, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Begin one."""
        task = asyncio.create_task(work, name=name)
        self._tasks.setdefault(uid, set()).add(task)
        self._count += 1
        task.add_done_callback(lambda task: self._ended(uid, task))

    async def keep(self, uids: Collection[str]) -> None:
        """End those of all other nodes, and return when they have ended."""
        ended = [task for uid in self._tasks.keys() - set(uids) for task in self._tasks[uid]]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    def _ended(self, uid: str, task: "asyncio.Task[None]") -> None:
        self._tasks[uid].discard(task)
        if not self._tasks[uid]:
            del self._tasks[uid]
        self._count -= 1
        self._on_end()
