"""`vendetta agent connect`: dial the server, for nodes that nobody can dial."""

import argparse
import asyncio
import logging
import random
import signal
from collections.abc import Callable
from typing import Any

from transports.agent.dial import Dialler
from transports.agent.enrol import EnrolError, Server, enrol
from transports.agent.local import LocalNode
from transports.agent.options import JOIN_TOKEN, TOKEN, agent_version, secret
from transports.agent.state import State, StateFile

log = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0


async def connect(options: argparse.Namespace) -> int:
    """Enrol, dial and serve until SIGTERM or SIGINT. Raises ValueError, StateError, OSError."""
    working = asyncio.create_task(_work(options))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    try:
        await working
    except asyncio.CancelledError:
        log.info("stopped; runs go on")
    return 0


async def _work(options: argparse.Namespace) -> None:
    server = Server.at(options.server, authority=options.ca, insecure=options.insecure)
    file, rng = StateFile(options.state), random.Random()  # noqa: S311 - spreads attempts in time
    token, join, known = (
        secret(options.token_file, TOKEN),
        secret(options.join_token_file, JOIN_TOKEN),
        file.read(options.id),
    )
    facts = _facts(options)
    state = await _patiently(lambda: enrol(server, known, file, token=token, join=join, facts=facts), rng)
    node = LocalNode(base_dir=options.base_dir)

    def headers() -> dict[str, str]:
        now = secret(options.token_file, TOKEN) or state.token
        return {"Authorization": f"Bearer {now}"} if now else {}

    dialler = Dialler(
        node, server.websocket(state.id), headers=headers, version=agent_version(), tls=server.tls, rng=rng
    )
    try:
        await dialler.run()
    finally:
        await node.aclose()


async def _patiently(attempt: Callable[[], State], rng: random.Random) -> State:
    """As often as it takes: the server may not be there yet. Raises ValueError when it refuses for good."""
    failures = 0
    while True:
        try:
            return await asyncio.to_thread(attempt)
        except EnrolError as error:
            if error.lasting:
                raise ValueError(str(error)) from error
            failures += 1
            pause = rng.uniform(0, min(LONGEST_PAUSE, 2.0**failures))
            log.warning("%s; trying again in %.1f s", error, pause)
            await asyncio.sleep(pause)


def _facts(options: argparse.Namespace) -> dict[str, Any]:
    labels = dict(_pair(label) for label in options.label)
    given = {"labels": labels, "capabilities": options.capability, "provider": options.provider}
    return {name: value for name, value in given.items() if value}


def _pair(label: str) -> tuple[str, str]:
    key, equals, value = label.partition("=")
    if not equals or not key:
        raise ValueError(f"{label!r} is no label: write KEY=VALUE")
    return key, value
