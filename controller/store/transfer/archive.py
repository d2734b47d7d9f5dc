"""A store in a file: gzip over lines of JSON (docs/reference/store.md).

The first line is the header, the last one the counts and the checksum: a file without it is not whole.
"""

import gzip
import json
import os
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final

from controller.store.transfer.records import (
    Header,
    Record,
    Tally,
    TransferError,
    counted,
    from_line,
    header_from,
    to_json,
    to_line,
)

FORMAT: Final = 1
LONGEST_LINE: Final = 1 << 29
"""More bytes than one object has, whatever its command has printed."""
_DAMAGE: Final = (
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)
"""What reading raises of a file that is not what it should be."""


@asynccontextmanager
async def open_source(path: Path) -> AsyncIterator["ArchiveSource"]:
    """A file that `open_target` has made. Raises TransferError."""
    yield ArchiveSource(path)


@asynccontextmanager
async def open_target(path: Path) -> AsyncIterator["ArchiveTarget"]:
    """A new file, for its owner alone: there are secrets in it. One that is not whole is removed."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise TransferError(f"{path} exists already: name a new file") from None
    except OSError as error:
        raise TransferError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        try:
            yield ArchiveTarget(path, file)
        except BaseException:
            os.unlink(path)
            raise


class ArchiveSource:
    """A file to read."""

    live = False

    def __init__(self, path: Path) -> None:
        self._path = path

    async def header(self) -> Header:
        """Of the store that it was made from."""
        with _reading(self._path) as lines:
            values = next(lines, {})
            if values.get("record") != "store" or values.get("format") != FORMAT:
                raise TransferError(f"{self._path} is no backup of a store that this version can read")
            return header_from(values)

    async def records(self) -> AsyncIterator[Record]:
        """All of them. Raises TransferError at the end if they are not those that were written."""
        tally = Tally()
        with _reading(self._path) as lines:
            next(lines, None)
            for values in lines:
                if values["record"] == "end":
                    _check(self._path, values, tally)
                    return
                record = from_line(values)
                tally.add(record)
                yield record
        raise TransferError(f"{self._path} is not whole: its end is missing")


class ArchiveTarget(ArchiveSource):
    """A file to write."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(path)
        self._file = file

    async def fill(self, header: Header, records: AsyncIterator[Record]) -> None:
        """Write it all, down to the disk."""
        tally = Tally()
        try:
            with gzip.GzipFile(fileobj=self._file, mode="wb", mtime=0) as packed:
                packed.write(to_json({"record": "store", "format": FORMAT, **asdict(header)}))
                async for record in counted(records, tally):
                    packed.write(to_line(record))
                packed.write(to_json({"record": "end", "sha256": tally.checksum, **tally.counts}))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise TransferError(f"cannot write {self._path}: {error.strerror or error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[Iterator[Mapping[str, Any]]]:
    """The file's lines, each one an object."""
    try:
        with gzip.open(path, "rb") as packed:
            yield map(json.loads, _lines(packed))
    except _DAMAGE as error:
        raise TransferError(f"{path} is damaged, or no backup of a store") from error
    except OSError as error:
        raise TransferError(f"cannot read {path}: {error.strerror or error}") from error


def _lines(packed: gzip.GzipFile) -> Iterator[bytes]:
    """Each line, and never one that fills the memory: a small file may unpack into a huge one."""
    while line := packed.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise ValueError("a line is too long")
        yield line


def _check(path: Path, end: Mapping[str, Any], tally: Tally) -> None:
    if end != {"record": "end", "sha256": tally.checksum, **tally.counts}:
        raise TransferError(f"{path} is damaged: its checksum is another one")
