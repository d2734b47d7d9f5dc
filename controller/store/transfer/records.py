"""What is in a store, as records in one order, whichever backend it is in: the same store gives the same lines.

Objects by kind and name, the history by revision, then each command's output: its sizes, and its chunks in order.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Protocol, TypeAlias


class TransferError(Exception):
    """A store could not be read, written or restored; nothing of it is left in the target. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Which history it is, how far it has got, and up to where it was dropped."""

    uid: str
    revision: int
    compacted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object, in its bytes."""

    kind: str
    name: str
    schema: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChange:
    """One revision. `at`: microseconds since 1970."""

    revision: int
    type: str
    kind: str
    name: str
    at: int
    announce: str | None
    schema: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLog:
    """That a command, by its uid, has so many bytes of output. Its chunks follow."""

    command: str
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """Output of the command before. `at`: microseconds since 1970."""

    position: int
    stream: str
    start: int
    at: int
    data: bytes


Record: TypeAlias = StoredObject | StoredChange | StoredLog | StoredChunk

_NAMES: Final[Mapping[str, type[Record]]] = {
    "object": StoredObject,
    "change": StoredChange,
    "log": StoredLog,
    "chunk": StoredChunk,
}
_NAME_OF: Final = {model: name for name, model in _NAMES.items()}


_BATCH: Final = 500
_MOST: Final = 2**53
"""No number in a store comes near: what is greater has not been written by one."""


class Source(Protocol):
    """A store, or a file, as it is at one moment."""

    live: bool
    """Whether a server uses it meanwhile."""

    async def header(self) -> Header:
        """What it is."""

    def records(self) -> AsyncIterator[Record]:
        """All that it holds."""


class Target(Source, Protocol):
    """An empty store or a new file, which is given up unless all goes well."""

    async def fill(self, header: Header, records: AsyncIterator[Record]) -> None:
        """Store it all. What is read from here afterwards is what was stored."""


class Tally:
    """Counts records, and digests them."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(_NAMES, 0)
        self.output = 0
        """Bytes of output."""
        self._digest = hashlib.sha256()

    def add(self, record: Record) -> None:
        """One more."""
        self.counts[_NAME_OF[type(record)]] += 1
        if isinstance(record, StoredChunk):
            self.output += len(record.data)
        self._digest.update(to_line(record))

    @property
    def checksum(self) -> str:
        """SHA-256 over the lines so far, in hexadecimal."""
        return self._digest.hexdigest()


async def counted(
    records: AsyncIterator[Record], tally: Tally, told: Callable[[Tally], None] = lambda _: None
) -> AsyncIterator[Record]:
    """The same records; `told` hears of each."""
    async for record in records:
        tally.add(record)
        told(tally)
        yield record


async def batches(records: AsyncIterator[Record]) -> AsyncIterator[Sequence[Record]]:
    """The same records, in runs of one kind; a log is a run of its own, before its chunks."""
    batch: list[Record] = []
    for_itself = False
    async for record in records:
        if batch and (for_itself or len(batch) == _BATCH or type(record) is not type(batch[0])):
            yield batch
            batch = []
        batch.append(record)
        for_itself = isinstance(record, StoredLog)
    if batch:
        yield batch


def to_line(record: Record) -> bytes:
    """The one line that stands for it, with its end."""
    values: dict[str, Any] = {"record": _NAME_OF[type(record)], **asdict(record)}
    if "body" in values:
        values["body"] = values["body"].decode()
    if "data" in values:
        values["data"] = base64.b64encode(values["data"]).decode()
    return to_json(values)


def from_line(values: Mapping[str, Any]) -> Record:
    """The record of a line that was read as JSON. Raises ValueError, KeyError or TypeError for what is none."""
    model = _NAMES[values["record"]]
    given = {field.name: values[field.name] for field in fields(model)}
    if "body" in given:
        given["body"] = given["body"].encode()
    if "data" in given:
        given["data"] = base64.b64decode(given["data"], validate=True)
    for field in fields(model):
        _check_type(given[field.name], field.type)
    return model(**given)


def header_from(values: Mapping[str, Any]) -> Header:
    """The header, likewise."""
    given = {field.name: values[field.name] for field in fields(Header)}
    for field in fields(Header):
        _check_type(given[field.name], field.type)
    return Header(**given)


def _check_type(value: object, wanted: Any) -> None:
    if not isinstance(value, wanted) or (isinstance(value, int) and not 0 <= value < _MOST):
        raise ValueError("this was not written by `to_line`")


def to_json(values: Mapping[str, Any]) -> bytes:
    """A line of JSON in its canonical form."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
