"""Moving whole stores from the command line: beside any server, straight from one database or file to another."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from controller.store.transfer import moving
from controller.store.transfer.moving import Moved
from controller.store.transfer.records import Tally, TransferError

Told = Callable[[str, str], None]
"""Hears what is being done, and how far it has got, for each record."""


class StorageError(Exception):
    """It could not be done, and the target was given up. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was moved, and verified."""

    uid: str
    revision: int
    objects: int
    changes: int
    outputs: int
    output_bytes: int
    sha256: str
    live: bool
    """Whether a server uses the source: what it stores from now on is not in the target."""


def copy(source: str, target: str, told: Told) -> Report:
    """From one database into another, both given by their dsn. Raises StorageError."""
    return _run(moving.copy(source, target, _telling(told)))


def backup(source: str, file: Path, told: Told) -> Report:
    """Into a new file. Raises StorageError."""
    return _run(moving.backup(source, file, _telling(told)))


def restore(file: Path, target: str, told: Told) -> Report:
    """From such a file. Raises StorageError."""
    return _run(moving.restore(file, target, _telling(told)))


def _telling(told: Told) -> moving.Told:
    def tell(phase: str, tally: Tally) -> None:
        counts, megabytes = tally.counts, tally.output >> 20
        told(phase, f"{counts['object']} objects, {counts['change']} changes, {megabytes} MiB of output")

    return tell


def _run(work: Coroutine[Any, Any, Moved]) -> Report:
    # What the store's parts log is meant for a server's log, and standard output belongs to the report.
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    try:
        moved = asyncio.run(work)
    except TransferError as error:
        raise StorageError(str(error)) from error
    counts = moved.tally.counts
    return Report(
        uid=moved.header.uid,
        revision=moved.header.revision,
        objects=counts["object"],
        changes=counts["change"],
        outputs=counts["log"],
        output_bytes=moved.tally.output,
        sha256=moved.tally.checksum,
        live=moved.live,
    )
