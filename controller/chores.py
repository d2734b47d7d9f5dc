"""What is done now and then, beside the work on nodes: cleaning up, and looking at files.

What one server does for all is done by the one whose it is (`Handover.single`), whichever servers there are.
"""

import asyncio
from functools import partial
from typing import Final

from controller.admission import Admission
from controller.certificates import PAUSE as CERTIFICATES_PAUSE
from controller.certificates import Certificates
from controller.credentials import Credentials
from controller.duration import SECOND
from controller.handover import Handover
from controller.janitor import PAUSE as JANITOR_PAUSE
from controller.janitor import Janitor
from controller.parts import Parts
from controller.reconcilers.garbage import PAUSE as GARBAGE_PAUSE
from controller.reconcilers.garbage import Garbage
from controller.reconcilers.retention import PAUSE as RETENTION_PAUSE
from controller.reconcilers.retention import Retention
from controller.runtime.loops import Supervisor
from controller.shares import Shares
from controller.sources.directory import Directory
from controller.sources.manifests import ManifestSource

MANIFESTS_LIMIT: Final = 600.0
"""Seconds that a folder of manifests may take to be applied: a first one may hold a whole fleet."""


class Chores:
    """The loops. `garbage` is told what there is by whoever hears it."""

    def __init__(self, parts: Parts, *, shares: Shares, handover: Handover, janitor: Janitor) -> None:
        self._parts, self._shares, self._handover, self._janitor = parts, shares, handover, janitor
        settings = parts.settings
        admission = Admission(
            store=parts.store,
            clock=parts.clock,
            contacts=parts.contacts,
            node_timeout=settings.registry.node_timeout,
        )
        self.garbage = Garbage(admission)
        self._retention = Retention(parts.store, parts.clock, settings.retention)
        credentials = Credentials(settings.transports.credentials_dir)
        self._certificates = Certificates(credentials, clock=parts.clock, metrics=parts.metrics)
        self._manifests = self._manifest_source(admission)

    def start(self, supervisor: Supervisor) -> None:
        """Start the loops."""
        supervisor.start("retention", self._retain)
        supervisor.start("janitor", self._clean)
        supervisor.start("garbage", self._collect)
        supervisor.start("certificates", self._watch_certificates)
        if self._manifests is not None:
            supervisor.start("manifests", partial(self._look, self._manifests), limit=MANIFESTS_LIMIT)

    def _manifest_source(self, admission: Admission) -> ManifestSource | None:
        settings, parts = self._parts.settings, self._parts
        if settings.sources.manifests is None:
            return None
        return ManifestSource(
            Directory(settings.sources.manifests),
            store=parts.store,
            admission=admission,
            clock=parts.clock,
            metrics=parts.metrics,
            told=parts.source_log,
            interval=settings.registry.sync_interval / SECOND,
        )

    async def _retain(self) -> None:
        await asyncio.sleep(RETENTION_PAUSE)
        await self._handover.single("retention", self._retention.sweep)

    async def _collect(self) -> None:
        await asyncio.sleep(GARBAGE_PAUSE)
        await self._handover.single("garbage", self.garbage.sweep)

    async def _clean(self) -> None:
        await asyncio.sleep(JANITOR_PAUSE)
        await self._janitor.sweep()

    async def _watch_certificates(self) -> None:
        await self._certificates.look()
        await asyncio.sleep(CERTIFICATES_PAUSE)

    async def _look(self, source: ManifestSource) -> None:
        await asyncio.sleep(self._parts.settings.sources.poll_interval / SECOND)
        if self._shares.mine_single("manifests"):
            await self._handover.single("manifests", source.look)
        else:
            source.leave()
