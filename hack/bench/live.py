"""How soon output that a command writes on its node is seen by somebody who follows it.

A real server process and a real sshd. Several commands at a time write a line with the time now and then; each has a
follower, which notes how old each line is when it comes. Node and follower share one clock.

    .venv/bin/python -m hack.bench.live [--commands 4] [--seconds 40] [--rounds 1]
"""

import argparse
import asyncio
import http.client
import threading
import time

from hack.bench.stand import server_and_node
from tests.support.server import Server

PAUSES = (0.31, 0.83, 0.07, 1.57, 0.43, 2.71, 0.19, 1.13)
"""Between lines: quick ones and silence, in step with nothing."""
_LINE = "date +%s.%N; sleep {pause}"


def script(shift: int, seconds: float) -> str:
    """Write lines for so long; each command begins elsewhere in the pauses."""
    pauses = PAUSES[shift:] + PAUSES[:shift]
    rounds = max(1, round(seconds / sum(PAUSES)))
    return f"for round in $(seq {rounds}); do {'; '.join(_LINE.format(pause=pause) for pause in pauses)}; done"


def follow(server: Server, command: str, ages: list[float], target: str = "") -> None:
    """Note the age of each line that comes, in seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", f"/api/v1/commands/{command}/logs?follow=1{target}")
    answer = connection.getresponse()
    while line := answer.readline():
        ages.append(time.time() - float(line))
    connection.close()


def measure(server: Server, commands: int, seconds: float) -> tuple[list[float], list[float]]:
    """Ages of all lines, and of each command's first line, of one round."""
    names = [server.send("bench", script(i, seconds), wait="0").json()["id"] for i in range(commands)]
    ages: list[list[float]] = [[] for _ in names]
    threads = [threading.Thread(target=follow, args=(server, n, a)) for n, a in zip(names, ages, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = max(1, round(seconds / sum(PAUSES))) * len(PAUSES)
    assert all(len(of_one) == expected for of_one in ages), [len(of_one) for of_one in ages]
    return [age for of_one in ages for age in of_one], [of_one[0] for of_one in ages]


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    every: list[float] = []
    first: list[float] = []
    async with server_and_node() as (server, _):
        for _ in range(arguments.rounds):
            ages, firsts = await asyncio.to_thread(measure, server, arguments.commands, arguments.seconds)
            every += ages
            first += firsts
    report("every line", every)
    report("first lines", first)


def report(name: str, ages: list[float]) -> None:
    """Quantiles in milliseconds."""
    ordered = sorted(age * 1000 for age in ages)
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    print(f"{name:12} {len(ordered):5}   p50 {p50:6.0f} ms   p99 {p99:6.0f} ms   max {ordered[-1]:6.0f} ms")


if __name__ == "__main__":
    asyncio.run(main())
