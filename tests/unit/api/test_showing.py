"""Lists are made in turns with everything else (contract G-1)."""

import asyncio

from api.kube.showing import Whole
from controller.resources.meta import ObjectMeta, Resource
from controller.resources.node import Node


async def test_nobody_waits_until_a_long_list_is_made() -> None:
    """Others get their turn after some hundred objects, and the list is whole and in order all the same."""
    nodes = [Node(metadata=ObjectMeta(name=f"n{number}")) for number in range(1200)]
    made: list[str] = []
    seen: list[int] = []

    def encode(obj: Resource) -> bytes:
        made.append(obj.name)
        return b"{}"

    async def other() -> None:
        while len(made) < len(nodes):
            seen.append(len(made))
            await asyncio.sleep(0)

    await asyncio.gather(Whole("Node", encode).many({}, nodes), other())
    assert made == [node.name for node in nodes]
    assert seen == [500, 1000]
