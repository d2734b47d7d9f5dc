"""Warm `echo` on one node: through the API, the store, the controller and the claim, beside bare asyncssh.

The two are taken in turn, round by round, on the same sshd; every output is checked.

    .venv/bin/python -m hack.bench.latency [--rounds 3] [--commands 300]
"""

import argparse
import asyncio
import http.client
import json
import statistics
import time

import asyncssh

from hack.bench.stand import server_and_node
from tests.support.nodes import SshdNode
from tests.support.server import Server

BODY = json.dumps({"type": "exec", "action": "echo hello", "params": {}})


async def bare(node: SshdNode, count: int) -> list[float]:
    """Milliseconds of each `run` on one open connection."""
    took = []
    async with asyncssh.connect(
        node.address,
        node.port,
        username=node.user,
        client_keys=[str(node.key_path)],
        known_hosts=None,
        config=None,
        agent_path=None,
        encryption_algs=["aes128-gcm@openssh.com"],
    ) as connection:
        for i in range(count + 10):
            began = time.perf_counter()
            done = await connection.run("echo hello", encoding=None)
            assert done.stdout == b"hello\n"
            if i >= 10:
                took.append((time.perf_counter() - began) * 1000)
    return took


def through_the_api(server: Server, count: int) -> list[float]:
    """Milliseconds of each POST until its result, on one kept connection."""
    took = []
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for i in range(count + 10):
        began = time.perf_counter()
        connection.request("POST", "/api/v1/nodes/bench/commands", BODY, {"Content-Type": "application/json"})
        answer = connection.getresponse().read()
        if i >= 10:
            took.append((time.perf_counter() - began) * 1000)
        assert json.loads(answer)["output"] == "hello"
    connection.close()
    return took


async def main() -> None:
    """Measure in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commands", type=int, default=300)
    arguments = parser.parse_args()
    async with server_and_node() as (server, node):
        ours, floor = [], []
        for _ in range(arguments.rounds):
            floor.append(await bare(node, arguments.commands))
            ours.append(await asyncio.to_thread(through_the_api, server, arguments.commands))
    report("bare asyncssh", floor)
    report("through the API", ours)
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(ours, floor, strict=True)]
    print(f"p50 ratio a round: {' '.join(f'{r:.2f}' for r in ratios)}   median {statistics.median(ratios):.2f}x")


def report(name: str, rounds: list[list[float]]) -> None:
    """The median of the rounds' p50 and p99."""
    p50 = statistics.median(statistics.median(r) for r in rounds)
    p99 = statistics.median(sorted(r)[int(len(r) * 0.99)] for r in rounds)
    print(f"{name:20} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")


if __name__ == "__main__":
    asyncio.run(main())
