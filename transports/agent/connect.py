"""`vendetta agent connect`: dial the server, for nodes that nobody can dial."""

import argparse
import asyncio
import logging
import random
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from transports.agent.dial import Dialler
from transports.agent.enrol import EnrolError, Server, enrol, renew, renewal_in
from transports.agent.local import LocalNode
from transports.agent.options import JOIN_TOKEN, TOKEN, agent_version, secret
from transports.agent.state import StateError, StateFile

log = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0
SHORTEST_RENEWAL = 10.0


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
    rng = random.Random()  # noqa: S311 - spreads attempts in time
    identity = _Identity(options, server)
    await _patiently(identity.enrol, rng)
    node = LocalNode(base_dir=options.base_dir)
    url = server.websocket(identity.state.id)
    dialler = Dialler(node, url, headers=identity.headers, version=agent_version(), tls=server.tls, rng=rng)
    renewing = asyncio.create_task(identity.keep_fresh(), name="renew")
    try:
        await dialler.run()
    finally:
        renewing.cancel()
        await node.aclose()


class _Identity:
    """Who this agent is to the server: the token it was started with, else the one that it was given."""

    def __init__(self, options: argparse.Namespace, server: Server) -> None:
        self._server = server
        self._file = StateFile(options.state)
        self._token = partial(secret, options.token_file, TOKEN)
        self._facts = _facts(options)
        self.state = self._file.read(options.id)
        self._join = _join_token(options.join_token_file, joined=bool(self.state.token))

    def enrol(self) -> None:
        """Join, or register again. Raises EnrolError."""
        self.state = enrol(
            self._server, self.state, self._file, token=self._token(), join=self._join, facts=self._facts
        )

    def headers(self) -> dict[str, str]:
        """What to show: read anew each time, for it may have been replaced."""
        token = self._token() or self.state.token
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def keep_fresh(self) -> None:
        """Renew the token that was given, in time; a server that is away is asked again."""
        while (wait := renewal_in(self.state, datetime.now(UTC))) is not None:
            await asyncio.sleep(max(wait, SHORTEST_RENEWAL))
            try:
                self.state = await asyncio.to_thread(renew, self._server, self.state, self._file)
            except (EnrolError, StateError) as error:
                log.warning("the token could not be renewed: %s", error)


def _join_token(path: Path | None, *, joined: bool) -> str:
    """What to join by. Raises OSError; once the agent has joined, the file of its token may be gone."""
    try:
        return secret(path, JOIN_TOKEN)
    except FileNotFoundError:
        if not joined:
            raise
        return ""


async def _patiently(attempt: Callable[[], None], rng: random.Random) -> None:
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
