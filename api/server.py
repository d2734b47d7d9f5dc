"""The composition root: builds the parts, starts them in order, stops them in reverse.

    store → controllers, and a place among the servers → event stream → HTTP  up
    HTTP and streams → controllers, and the place → store                     down

Nothing else in the project builds these parts, and none of them knows who built it.
"""

import asyncio
import errno
import gc
import os
import random
import socket
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import structlog
import uvloop
from starlette.types import ASGIApp

from api.app import build_app
from api.auth.peer import parse_address
from api.context import Context
from api.http import Server, configure, listen
from api.layers import wrap
from api.logs import configure as configure_logs
from api.reload import Load, Reloader
from api.stopping import Stopping
from api.stream import Broadcaster
from api.tracing import ExtraMissing, open_tracing
from api.traffic import Traffic
from controller.announce import announce
from controller.config import Loaded
from controller.contacts import Contacts
from controller.controllers import Controllers
from controller.duration import SECOND
from controller.followers import Followers
from controller.installed import Installed
from controller.metrics import Metrics
from controller.nodelog import NodeLog
from controller.parts import Parts
from controller.runtime import failpoint
from controller.runtime.clock import SystemClock
from controller.services.board import ServiceBoard
from controller.settings import Settings
from controller.sources.told import SourceLog
from controller.store.base import Store, Unavailable
from controller.store.history import HistoryLimits
from controller.store.open import open_store

log = structlog.get_logger(__name__)

DEFAULT_FILE = "vendetta.db"
GC_THRESHOLDS = (5_000, 500, 1000)
"""Young objects are looked at often, which stops the loop for 2 ms, not 60; what has grown older hardly ever."""
SWITCH_INTERVAL = 0.0005
"""Seconds between two threads' turns: the store's writer thread must get its turn beside a busy loop."""


_LISTEN_HINTS: Final = {
    errno.EADDRINUSE: "stop what uses that port, or choose another with --port or server.port",
    errno.EACCES: "choose a port from 1024 on with --port or server.port",
}


class StartError(Exception):
    """The server cannot start; the message says why and what to do."""


def run(loaded: Loaded, again: Load) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code: 0 after a clean stop. Raises StartError.

    `again` reads the configuration anew, for SIGHUP and when its files change.
    """
    configure_logs(loaded.settings.logging)
    for warning in loaded.warnings:
        log.warning("configuration", warning=warning)
    listener = _listen(loaded.settings)
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(loaded, again, listener))
    return 0


def package_version() -> str:
    """The version of the installed package."""
    try:
        return version("vendetta")
    except PackageNotFoundError:
        return "0+checkout"


async def _serve(loaded: Loaded, again: Load, listener: socket.socket) -> None:
    settings, source = loaded.settings, loaded.source
    host, port = listener.getsockname()[:2]
    metrics = Metrics()
    reloader = Reloader(loaded, again, metrics)
    reloader.listen()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_cancel, asyncio.create_task(reloader.watch(), name="configuration"))
        context = await _build(settings, source, listener, metrics, stack)
        app = await _traced(wrap(build_app(context), context), context, stack)
        stack.push_async_callback(_cancel, asyncio.create_task(context.broadcaster.run(), name="stream"))
        await context.controllers.start()
        stack.push_async_callback(context.controllers.aclose)
        _warn(settings, host)
        _tune()
        log.info(
            "serving",
            host=host,
            port=port,
            role=settings.server.role,
            store=settings.registry.provider,
            config=str(source or "defaults"),
        )
        await Server(configure(app, settings), context.stopping).serve([listener])
        log.info("stopping")


async def _traced(app: ASGIApp, context: Context, stack: AsyncExitStack) -> ASGIApp:
    """The application with traces, where the environment wants them."""
    try:
        tracing = open_tracing(os.environ, context.version)
    except ExtraMissing as error:
        raise StartError(str(error)) from error
    if tracing is None:
        return app
    stack.push_async_callback(tracing.aclose)
    stack.push_async_callback(_cancel, asyncio.create_task(tracing.follow(context.store), name="tracing"))
    log.info("traces are on")
    return tracing.around(app)


async def _build(
    settings: Settings, source: Path | None, listener: socket.socket, metrics: Metrics, stack: AsyncExitStack
) -> Context:
    """The parts, in the order of their start."""
    clock, traffic, stopping = SystemClock(), Traffic(), Stopping()
    node_log = NodeLog(clock)
    fail_here = failpoint.from_environment(os.environ)
    port = listener.getsockname()[1]
    store = _open(settings, source, clock, fail_here)
    takes_shares = settings.server.role != "api"
    membership = store.membership(takes_shares=takes_shares, address=f"{socket.gethostname()}:{port}")
    bulletin = store.bulletin()
    await _start(store)
    stack.push_async_callback(store.aclose)
    contacts, followers, services = Contacts(bulletin), Followers(bulletin), ServiceBoard(clock, bulletin)
    source_log = SourceLog(bulletin)
    installed = Installed(settings.transports)
    stack.push_async_callback(installed.aclose)
    controllers = Controllers(
        Parts(
            store=store,
            membership=membership,
            bulletin=bulletin,
            settings=settings,
            clock=clock,
            contacts=contacts,
            services=services,
            node_log=node_log,
            source_log=source_log,
            followers=followers,
            metrics=metrics,
            transports=installed,
            hub=installed.hub,
            known_hosts=installed.known_hosts,
            local_ports=frozenset({port}),
            failpoint=fail_here,
            rng=random.Random(),  # noqa: S311 - spreads probes in time
        )
    )
    broadcaster = Broadcaster(
        store=store, contacts=contacts, clock=clock, settings=settings.websocket, traffic=traffic, stopping=stopping
    )
    return Context(
        settings=settings,
        hub=installed.hub,
        store=store,
        clock=clock,
        contacts=contacts,
        services=services,
        node_log=node_log,
        followers=followers,
        metrics=metrics,
        broadcaster=broadcaster,
        controllers=controllers,
        version=package_version(),
        stopping=stopping,
        traffic=traffic,
        source_log=source_log,
    )


def _open(settings: Settings, source: Path | None, clock: SystemClock, fail_here: failpoint.Failpoint) -> Store:
    """The store, not started yet."""
    registry = settings.registry
    beside = source.parent if source is not None else Path()
    dsn = registry.dsn or (str(beside / DEFAULT_FILE) if registry.provider == "sqlite" else None)
    limits = HistoryLimits(
        changes=settings.retention.max_events, age=timedelta(seconds=settings.retention.events / SECOND)
    )
    try:
        return open_store(
            registry.provider,
            dsn,
            clock=clock,
            announce=announce,
            limits=limits,
            failpoint=fail_here,
            lease=registry.lease_duration / SECOND,
        )
    except Unavailable as error:
        raise StartError(str(error)) from error


async def _start(store: Store) -> None:
    try:
        await store.start()
    except Unavailable as error:
        raise StartError(str(error)) from error


def _listen(settings: Settings) -> socket.socket:
    where = f"{settings.server.host}:{settings.server.port}"
    try:
        return listen(settings)
    except OSError as error:
        hint = _LISTEN_HINTS.get(error.errno or 0, "server.host must be an address of this machine")
        raise StartError(f"cannot listen on {where}: {error.strerror or error}; {hint}") from error


def _warn(settings: Settings, host: str) -> None:
    """Say who gets in while auth is off; `host` is the address listened on."""
    if settings.auth.enabled:
        return
    if settings.auth.allow_insecure_remote:
        log.warning("authentication is off and remote callers are admitted: whoever reaches the port owns the fleet")
    else:
        log.warning("authentication is off: only loopback callers are admitted; set auth.enabled for others")
        if (address := parse_address(host)) and not (address.is_loopback or address.is_unspecified):
            log.warning("nobody is admitted at this server.host: use 127.0.0.1, or set auth.enabled", host=host)


def _tune() -> None:
    """What lives now lives for good: keep the collector from walking it again; let threads take short turns."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
