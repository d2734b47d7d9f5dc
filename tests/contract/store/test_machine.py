"""Any sequence of operations leaves the store as a dictionary would be left, restarts included."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from controller.resources.command import Command
from controller.resources.meta import Resource
from controller.store.base import (
    AlreadyExists,
    Change,
    ChangeType,
    Conflict,
    Create,
    Delete,
    NotFound,
    Operation,
    Store,
    Stream,
    Unavailable,
    Update,
)
from tests.contract.store.conftest import BACKENDS
from tests.contract.store.objects import SetClock, append, at_version, command, labelled

T = TypeVar("T")

NAMES = st.sampled_from(["a", "b", "c"])
LABELS = st.sampled_from(["red", "green"])
RARELY = st.sampled_from([False, False, False, True])
STREAMS: st.SearchStrategy[Stream] = st.sampled_from(["stdout", "stderr"])


class _StoreMachine(RuleBasedStateMachine):
    """The model: objects by name, versions, output, and the history as (type, name, version)."""

    provider = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.tmp = Path(tempfile.mkdtemp(prefix="store-"))
        self.backend = BACKENDS[self.provider](SetClock(), self.tmp)
        self.failing = False
        self.store: Store = self.backend.open(failpoint=self.failpoint)
        self.objects: dict[str, Resource] = {}
        self.output: dict[str, list[tuple[Stream, bytes]]] = {}
        self.history: list[tuple[str, str, str]] = []
        self.pages: list[tuple[str, list[Resource]]] = []

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(doing)

    def write(self, *operations: Operation) -> list[Resource | None]:
        return list(self.run(self.store.write(*operations)))

    @initialize()
    def start(self) -> None:
        self.run(self.store.start())

    def teardown(self) -> None:
        self.run(self.store.aclose())
        self.loop.close()
        shutil.rmtree(self.tmp)

    def stored(self, obj: Resource | None, type_: ChangeType) -> None:
        assert obj is not None
        self.objects[obj.name] = obj
        self.history.append((type_.value, obj.name, obj.metadata.resource_version))

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        if name in self.objects:
            with pytest.raises(AlreadyExists):
                self.write(Create(obj=command(name)))
        else:
            (obj,) = self.write(Create(obj=command(name)))
            self.stored(obj, ChangeType.ADDED)

    @rule(name=NAMES, colour=LABELS, stale=RARELY)
    def label(self, name: str, colour: str, *, stale: bool) -> None:
        old = self.objects.get(name)
        if old is None:
            with pytest.raises(NotFound):
                self.write(Update(obj=command(name)))
        elif stale:
            with pytest.raises(Conflict):
                self.write(Update(obj=at_version(old, "999999")))
        else:
            (obj,) = self.write(Update(obj=labelled(old, colour=colour)))
            if obj != old:
                self.stored(obj, ChangeType.MODIFIED)

    @rule(name=NAMES)
    def cancel(self, name: str) -> None:
        old = self.objects.get(name)
        if isinstance(old, Command) and not old.spec.cancel:
            (obj,) = self.write(
                Update(obj=old.model_copy(update={"spec": old.spec.model_copy(update={"cancel": True})}))
            )
            assert obj is not None
            assert obj.metadata.generation == old.metadata.generation + 1
            self.stored(obj, ChangeType.MODIFIED)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if name not in self.objects:
            with pytest.raises(NotFound):
                self.write(Delete(kind="Command", name=name))
            return
        old = self.objects[name]
        self.write(Delete(kind="Command", name=name, version=old.metadata.resource_version, uid=old.uid))
        del self.objects[name]
        self.output.pop(old.uid, None)
        self.history.append((ChangeType.DELETED.value, name, str(self.store.revision())))

    @rule(name=NAMES, stream=STREAMS, data=st.binary(min_size=1, max_size=5), wrong=RARELY)
    def append(self, name: str, stream: Stream, data: bytes, *, wrong: bool) -> None:
        old = self.objects.get(name)
        if old is None:
            return
        log = self.output.setdefault(old.uid, [])
        offset = sum(len(piece) for s, piece in log if s == stream)
        if wrong:
            with pytest.raises(Conflict):
                self.write(append(old.uid, offset + 1, data, stream))
        else:
            self.write(append(old.uid, offset, data, stream))
            log.append((stream, data))

    @rule(one=NAMES, other=NAMES)
    def write_two(self, one: str, other: str) -> None:
        """All or nothing."""
        if one in self.objects or other in self.objects or one == other:
            with pytest.raises(AlreadyExists):
                self.write(Create(obj=command(one)), Create(obj=command(other)))
        else:
            for obj in self.write(Create(obj=command(one)), Create(obj=command(other))):
                self.stored(obj, ChangeType.ADDED)

    @precondition(lambda self: self.backend.durable)
    @rule(name=NAMES, data=st.binary(min_size=1, max_size=5))
    def fail_to_write(self, name: str, data: bytes) -> None:
        """Two writes, one on top of the other, share a commit that fails: nothing has changed."""
        old = self.objects.get(name)
        first: Operation = Create(obj=command(name))
        if old is not None:
            first = append(old.uid, self.store.output_sizes(old.uid)[0], data)
        self.failing = True
        outcomes = self.run(self.each_alone(first, Delete(kind="Command", name=name)))
        self.failing = False
        assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]

    async def each_alone(self, *operations: Operation) -> Sequence[object]:
        return await asyncio.gather(*(self.store.write(one) for one in operations), return_exceptions=True)

    def failpoint(self, name: str) -> None:
        if self.failing and name == "store.before-commit":
            raise OSError(28, "No space left on device")

    @rule()
    def begin_list(self) -> None:
        page = self.store.list("Command", limit=1)
        if page.next is not None:
            self.pages.append((page.next, sorted(self.objects.values(), key=lambda obj: obj.name)[1:]))

    @precondition(lambda self: self.pages)
    @rule()
    def continue_list(self) -> None:
        cursor, expected = self.pages.pop(0)
        assert list(self.store.list("Command", cursor=cursor).items) == expected

    @precondition(lambda self: self.backend.durable)
    @rule()
    def restart(self) -> None:
        uid = self.store.uid
        self.run(self.store.aclose())
        self.store = self.backend.open(failpoint=self.failpoint)
        self.run(self.store.start())
        assert self.store.uid == uid
        self.pages.clear()

    @rule(since=st.integers(0, 50))
    def watch(self, since: int) -> None:
        since = min(since, self.store.revision())
        changes = self.run(self.watched(since))
        told = [(c.type.value, c.obj.name, c.obj.metadata.resource_version) for c in changes]
        assert told == self.history[since:]

    async def watched(self, since: int) -> list[Change]:
        found: list[Change] = []
        async with self.store.watch(since=since) as watch:
            while watch.revision < self.store.revision():
                found += await watch.batch(3, 0)
        return found

    @invariant()
    def objects_are_as_in_the_model(self) -> None:
        assert {obj.name: obj for obj in self.store.list("Command").items} == self.objects
        assert self.store.revision() == len(self.history)
        for obj in self.objects.values():
            assert self.store.get("Command", obj.name) == obj

    @invariant()
    def output_is_as_in_the_model(self) -> None:
        for obj in self.objects.values():
            log = self.output.get(obj.uid, [])
            sizes = tuple(sum(len(piece) for s, piece in log if s == stream) for stream in ("stdout", "stderr"))
            assert self.store.output_sizes(obj.uid) == sizes
            if log:
                chunks = self.run(self.store.read_output(obj.uid))
                assert [(c.stream, c.data) for c in chunks] == log


@pytest.mark.parametrize("provider", sorted(BACKENDS))
def test_a_store_behaves_as_its_model(provider: str) -> None:
    """Create, update, delete, append, list in pages, watch and restart, in any order."""
    machine = type(f"{provider}Machine", (_StoreMachine,), {"provider": provider})
    run_state_machine_as_test(
        machine,
        settings=settings(
            # Each write to a database server is a few round trips.
            max_examples=30 if provider == "postgres" else 150,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            print_blob=True,
        ),
    )
