"""Watchers and followers of output who stop reading (contract E-4)."""

import time

import pytest

from controller.resources.meta import ObjectMeta
from controller.resources.node import Node
from controller.store.base import Create
from tests.support.live import Raw, serve

NODES = "/apis/vendetta.dev/v1/nodes"


@pytest.mark.parametrize("query", ["watch=1", "watch=1&resourceVersion=1"])
def test_a_watcher_who_never_reads_is_cut_off(query: str) -> None:
    """E-4: after two ping periods without a byte taken; it would hold its place for ever."""
    with serve(websocket={"ping_period": "1s"}) as live:
        notes = {"note": "x" * 250_000}
        live.do(
            live.context.store.write(
                *(Create(obj=Node(metadata=ObjectMeta(name=f"n{i}", annotations=notes))) for i in range(40))
            )
        )
        with Raw(live.port, receive_buffer=4096) as stuck:
            stuck.get(f"{NODES}?{query}")
            deadline = time.monotonic() + 20
            while not live.context.traffic.dropped_streams:
                assert time.monotonic() < deadline, "it is still there"
                time.sleep(0.05)
            with Raw(live.port) as other:
                other.get("/livez")
                assert other.status() == 200
            assert len(stuck.rest()) < 40 * 250_000
