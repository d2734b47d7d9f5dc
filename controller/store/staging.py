"""From operations to changes: preconditions, revisions and the metadata that the server sets.

A write is staged against the newest *staged* objects, those on their way to the disk included, so that writes
follow each other without waiting for a commit. What was staged becomes visible only when it is published. If the
disk fails, all that is not committed is dropped at once.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, assert_never

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from controller.resources.meta import ObjectMeta, Resource
from controller.resources.newer import carry
from controller.resources.scheme import KINDS, SCHEMA, decode, encode
from controller.store.base import (
    AlreadyExists,
    Announce,
    Append,
    Change,
    ChangeType,
    Conflict,
    Create,
    Delete,
    NotFound,
    Operation,
    Update,
)
from controller.store.history import Entry
from controller.store.state import COMMAND, Sizes, State

MAX_APPEND = 1 << 20
"""The most bytes of one Append."""

Key = tuple[str, str]


class Clock(Protocol):
    """All that a store needs of a clock."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedChange:
    """A change with the bytes that are stored for it."""

    entry: Entry
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedAppend:
    """Output with its place in read order, and the command's sizes from then on."""

    append: Append
    position: int
    sizes: Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """One write: what it returns, and what it does."""

    results: Sequence[Resource | None]
    changes: Sequence[StagedChange]
    appends: Sequence[StagedAppend]
    objects: Mapping[Key, Resource | None]
    """The objects as it leaves them; None: deleted."""
    outputs: Mapping[str, Sizes | None]
    """The output sizes as it leaves them, by command uid; None: deleted."""


class Staging:
    """The objects as they will be: what is visible, and over it what is on its way to the disk."""

    def __init__(self, state: State, clock: Clock, announce: Announce) -> None:
        self.state = state
        self._clock = clock
        self._announce = announce
        self.reset()

    def reset(self) -> None:
        """Forget what is not visible."""
        self.revision = self.state.revision
        self._objects: dict[Key, tuple[Staged, Resource | None]] = {}
        self._outputs: dict[str, tuple[Staged, Sizes | None]] = {}

    def stage(self, operations: Sequence[Operation]) -> Staged:
        """Stage all operations or, when one raises, none."""
        draft = _Draft(self, self._clock.now(), self._announce)
        for operation in operations:
            draft.add(operation)
        staged = draft.finish()
        self.revision = draft.revision
        self._objects.update((key, (staged, obj)) for key, obj in staged.objects.items())
        self._outputs.update((uid, (staged, sizes)) for uid, sizes in staged.outputs.items())
        return staged

    def settle(self, staged: Staged) -> None:
        """What is visible now needs no memory here, unless it was staged over since."""
        for key in staged.objects:
            if self._objects[key][0] is staged:
                del self._objects[key]
        for uid in staged.outputs:
            if self._outputs[uid][0] is staged:
                del self._outputs[uid]

    def get(self, kind: str, name: str) -> Resource | None:
        """The newest staged object, or None."""
        found = self._objects.get((kind, name))
        return self.state.get(kind, name) if found is None else found[1]

    def sizes(self, uid: str) -> Sizes | None:
        """The staged output sizes of a command, None if there is none with this uid."""
        found = self._outputs.get(uid)
        return self.state.outputs.get(uid) if found is None else found[1]


class _Draft:
    """One write while it is staged. Nothing outside changes until all of it is known to be right."""

    def __init__(self, staging: Staging, now: datetime, announce: Announce) -> None:
        self._staging = staging
        self._now = now
        self._announce = announce
        self.revision = staging.revision
        self._objects: dict[Key, Resource | None] = {}
        self._outputs: dict[str, Sizes | None] = {}
        self._results: list[Resource | None] = []
        self._changes: list[StagedChange] = []
        self._appends: list[StagedAppend] = []

    def finish(self) -> Staged:
        return Staged(
            results=self._results,
            changes=self._changes,
            appends=self._appends,
            objects=self._objects,
            outputs=self._outputs,
        )

    def add(self, operation: Operation) -> None:
        self._results.append(self._apply(operation))

    def _apply(self, operation: Operation) -> Resource | None:
        match operation:
            case Create():
                return self._create(operation.obj)
            case Update():
                return self._update(operation.obj)
            case Delete():
                self._delete(operation)
            case Append():
                self._append(operation)
            case _:
                assert_never(operation)
        return None

    def _create(self, obj: Resource) -> Resource:
        meta = obj.metadata
        if not meta.name:
            raise ValueError(f"a {obj.kind} without a name cannot be stored")
        if obj.kind not in KINDS:
            raise ValueError(f"{obj.kind!r} is not a kind that can be stored")
        if self._get(obj.kind, meta.name) is not None:
            raise AlreadyExists(f"{obj.kind} {meta.name!r} already exists")
        stamps = {
            "uid": meta.uid or str(uuid.uuid4()),
            "creation_timestamp": meta.creation_timestamp or self._now.replace(microsecond=0),
            "generation": meta.generation or 1,
        }
        return self._record(ChangeType.ADDED, None, _stamped(obj, self.revision + 1, **stamps))

    def _update(self, obj: Resource) -> Resource:
        meta = obj.metadata
        old = self._current(obj.kind, meta.name, meta.resource_version, meta.uid)
        kept = old.metadata
        stamps = {
            "uid": kept.uid,
            "creation_timestamp": kept.creation_timestamp,
            "generation": kept.generation,
            "resource_version": kept.resource_version,
        }
        new = _with_metadata(obj, meta.model_copy(update=stamps))
        differing = _first_difference(new, old)
        if differing is None:
            return old
        if differing == "spec" or not _alike(getattr(new, "spec", None), getattr(old, "spec", None)):
            stamps["generation"] = kept.generation + 1
        return self._record(ChangeType.MODIFIED, old, carry(old, _stamped(obj, self.revision + 1, **stamps)))

    def _delete(self, operation: Delete) -> None:
        old = self._current(operation.kind, operation.name, operation.version, operation.uid)
        self._record(ChangeType.DELETED, old, _stamped(old, self.revision + 1))

    def _append(self, operation: Append) -> None:
        uid = operation.command_uid
        sizes = self._sizes(uid)
        if sizes is None:
            raise NotFound(f"there is no command with uid {uid!r} to append output to")
        if len(operation.data) > MAX_APPEND:
            raise ValueError(f"an append holds at most {MAX_APPEND} bytes, this one has {len(operation.data)}")
        if operation.at.tzinfo is None:
            raise ValueError("the time of an append needs a zone")
        out, err = sizes
        stored = out if operation.stream == "stdout" else err
        if operation.offset != stored:
            raise Conflict(
                f"{operation.stream} of command {uid} has {stored} bytes: cannot append at {operation.offset}"
            )
        if not operation.data:
            return
        grown = stored + len(operation.data)
        after = (grown, err) if operation.stream == "stdout" else (out, grown)
        self._outputs[uid] = after
        self._appends.append(StagedAppend(append=operation, position=out + err, sizes=after))

    def _get(self, kind: str, name: str) -> Resource | None:
        key = (kind, name)
        return self._objects[key] if key in self._objects else self._staging.get(kind, name)

    def _sizes(self, uid: str) -> Sizes | None:
        return self._outputs[uid] if uid in self._outputs else self._staging.sizes(uid)

    def _current(self, kind: str, name: str, version: str, uid: str) -> Resource:
        """The object, if it is at the version and has the uid that were named (empty: any)."""
        old = self._get(kind, name)
        if old is None:
            raise NotFound(f"{kind} {name!r} does not exist")
        if uid and uid != old.metadata.uid:
            raise Conflict(f"{kind} {name!r} is another object now: its uid is {old.metadata.uid}, not {uid}")
        if version and version != old.metadata.resource_version:
            raise Conflict(
                f"{kind} {name!r} has changed: it is at version {old.metadata.resource_version}, not {version}"
            )
        return old

    def _record(self, type_: ChangeType, old: Resource | None, obj: Resource) -> Resource:
        self.revision += 1
        deleted = type_ is ChangeType.DELETED
        told = self._announce(old, None if deleted else obj)
        body = encode(obj) if deleted else _checked(obj)
        change = Change(type=type_, revision=self.revision, obj=obj, at=self._now, announce=told)
        self._changes.append(StagedChange(entry=Entry(change=change, old=old, size=len(body)), body=body))
        self._objects[obj.kind, obj.metadata.name] = None if deleted else obj
        if obj.kind == COMMAND:
            self._outputs[obj.uid] = None if deleted else self._sizes(obj.uid) or (0, 0)
        return obj


def _stamped(obj: Resource, revision: int, **stamps: object) -> Resource:
    """The object with the metadata that the server sets."""
    stamps["resource_version"] = str(revision)
    return _with_metadata(obj, obj.metadata.model_copy(update=stamps))


def _with_metadata(obj: Resource, metadata: ObjectMeta) -> Resource:
    return obj.model_copy(update={"metadata": metadata})


def _checked(obj: Resource) -> bytes:
    """The bytes that are stored. A copy of an object may hold what its model refuses: that must not get to the disk,
    where it would keep the next server from starting. Raises ValueError.

    Encoding finds wrong types, and NUL is looked for in the bytes: reading each object back would cost more than
    all the rest of a write.
    """
    try:
        body = encode(obj)
    except PydanticSerializationError as error:
        raise ValueError(f"{obj.kind} {obj.metadata.name!r} cannot be stored: {error}") from None
    if b"\\u0000" in body:
        _read_back(obj, body)
    return body


def _read_back(obj: Resource, body: bytes) -> None:
    try:
        decode(obj.kind, SCHEMA, body)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False, include_url=False)[0]["loc"])
        raise ValueError(f"{obj.kind} {obj.metadata.name!r} could not be read back: {where} is not valid") from None


def _first_difference(a: Resource, b: Resource) -> str | None:
    """The name of a field that is stored otherwise; the status comes first, it is what changes most."""
    for field in reversed(type(a).model_fields):
        if not _alike(getattr(a, field), getattr(b, field)):
            return field
    return None


def _alike(a: object, b: object) -> bool:
    """Whether they are stored alike. Equality alone would take True for 1, bytes alone heed the order of a map."""
    if a is b:
        return True
    return a == b and _canonical(a) == _canonical(b)


def _canonical(value: object) -> str:
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return json.dumps(plain, sort_keys=True)
