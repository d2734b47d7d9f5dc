"""Commands: accepting, cancelling, removing them, and hearing of results from agents that report by themselves."""

import hashlib
import json
from collections.abc import Callable
from typing import Final

from controller.admission.caller import Caller
from controller.admission.deletion import marked, released
from controller.admission.errors import Denied, IdTaken, Invalid, Problem, Refused, Stale, Unknown
from controller.admission.ids import CommandIds
from controller.admission.ownership import begun, tracked, wish_of
from controller.admission.registry import Registry
from controller.admission.results import Report, reported
from controller.admission.status import observed
from controller.reservations import reserving
from controller.resources.command import SUPPORTED_TYPES, Command, CommandSpec, CommandStatus
from controller.resources.meta import LAST_APPLIED, ObjectMeta
from controller.resources.node import Node
from controller.resources.scheme import KINDS
from controller.runtime.clock import Clock
from controller.scripts import script_of
from controller.store.base import AlreadyExists, Conflict, Create, Delete, NotFound, Update
from controller.tracecontext import TRACEPARENT
from transports.script import ScriptInvalid

Change = Callable[[Command], Command]
"""From the command as it is to the command as it should be; only what may change is taken."""

ATTEMPTS: Final = 10
_BUSY = "the command is being changed by too many others at once: try again"


class Commands:
    """What may be asked of commands (contract C)."""

    def __init__(self, *, store: Registry, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._ids = CommandIds(store=store, clock=clock)

    def get(self, name: str) -> Command:
        """The command. Raises Unknown."""
        command = self._store.get("Command", name)
        if not isinstance(command, Command):
            raise Unknown("command", name)
        return command

    async def create(
        self,
        spec: CommandSpec,
        caller: Caller,
        meta: ObjectMeta = ObjectMeta(),  # noqa: B008 - frozen
        *,
        again: bool = True,
    ) -> Command:
        """Accept a command. Its name is the caller's own id, which makes the request repeatable (C-8).

        `again`: the same request under the same id answers with the command that is there; else IdTaken.
        Raises Unknown, Invalid, Denied, Refused, IdTaken.
        """
        if not caller.operator:
            raise Denied("sending commands needs the role operator")
        name, asked = meta.name, meta.managed_fields
        _check(spec, name, caller)
        meta = wish_of(ObjectMeta(name=name), meta)
        digest = digest_of(spec, meta) if name else ""
        if name and (known := self._taken(name, digest, again=again)):
            return known
        self._check_node(spec)
        status = CommandStatus(requested_by=caller.name, digest=digest, queued=self._clock.now())
        command = Command(metadata=_traced(meta, caller), spec=spec, status=status)
        command = begun(command, asked, caller, self._clock.now())
        return await self._create(command, again=again)

    async def cancel(self, name: str, caller: Caller) -> Command:
        """Ask for its cancellation. One that has ended stays as it is."""
        return await self.update(name, _cancelled, caller)

    async def update(self, name: str, change: Change, caller: Caller, *, version: str = "") -> Command:
        """Change what may change: labels, annotations, and `cancel` from false to true.

        Raises Unknown, Denied, Invalid, Refused, Stale.
        """
        if not caller.operator:
            raise Denied("changing commands needs the role operator")
        for _ in range(ATTEMPTS):
            old = self.get(name)
            if version and old.metadata.resource_version != version:
                raise Stale(f'command "{name}" has changed since it was read: read it again')
            asked = change(old)
            new = _changed(old, asked)
            new = tracked(old, new, asked.metadata.managed_fields, caller, self._clock.now())
            try:
                if released(new):
                    return await self._remove(new)
                return old if new == old else _command((await self._store.write(Update(obj=new)))[0])
            except (Conflict, AlreadyExists):
                continue
            except NotFound:
                raise Unknown("command", name) from None
        raise Refused(_BUSY)

    async def observe(self, name: str, change: Change, caller: Caller, *, version: str = "") -> Command:
        """Take what somebody else says of the command: conditions of other types than the controller's."""
        if not caller.operator:
            raise Denied("writing a command's status needs the role operator")
        for _ in range(ATTEMPTS):
            old = self.get(name)
            if version and old.metadata.resource_version != version:
                raise Stale(f'command "{name}" has changed since it was read: read it again')
            new = observed(old, change(old).status.conditions)
            try:
                return old if new == old else _command((await self._store.write(Update(obj=new)))[0])
            except (Conflict, NotFound):
                continue
        raise Refused(_BUSY)

    async def delete(self, name: str, caller: Caller) -> Command:
        """Remove a command that has ended; its id stays taken (C-8). One with finalizers is only marked for now."""
        if not caller.operator:
            raise Denied("removing commands needs the role operator")
        for _ in range(ATTEMPTS):
            command = self.get(name)
            if not command.ended:
                raise Refused(f'command "{name}" has not ended: cancel it first')
            try:
                if command.metadata.finalizers:
                    return _command((await self._store.write(Update(obj=marked(command, self._clock.now()))))[0])
                return await self._remove(command)
            except (Conflict, NotFound, AlreadyExists):
                continue
        raise Refused(_BUSY)

    async def _remove(self, command: Command) -> Command:
        meta = command.metadata
        delete = Delete(kind="Command", name=meta.name, version=meta.resource_version, uid=meta.uid)
        await self._store.write(delete, *reserving(command))
        return command

    async def report(self, name: str, report: Report, caller: Caller) -> Command:
        """Take a result that an agent reports by itself (C-13). Raises Unknown, Denied, NotReportable, Refused."""
        for _ in range(ATTEMPTS):
            command = self.get(name)
            node = self._store.get("Node", command.spec.node)
            new = reported(command, node if isinstance(node, Node) else None, report, caller, self._clock.now())
            try:
                return command if new is command else _command((await self._store.write(Update(obj=new)))[0])
            except (Conflict, NotFound):
                continue
        raise Refused(_BUSY)

    def _taken(self, name: str, digest: str, *, again: bool) -> Command | None:
        """The command that this very request made before. Raises IdTaken where another one did."""
        known = self._store.get("Command", name)
        if isinstance(known, Command):
            if again and known.status.digest == digest:
                return known
            raise IdTaken(f'command "{name}" already exists' + (", from a different request" if again else ""))
        if self._store.get("Reservation", name) is not None:
            raise IdTaken(f'the id "{name}" belonged to a command that has been removed: choose another one')
        return None

    def _check_node(self, spec: CommandSpec) -> None:
        node = self._store.get("Node", spec.node)
        if not isinstance(node, Node):
            raise Unknown("node", spec.node)
        if node.spec.unschedulable and not spec.params.force:
            raise Refused(f'node "{spec.node}" is cordoned: set its status to active, or params.force to true')

    async def _create(self, command: Command, *, again: bool) -> Command:
        name = command.metadata.name
        for _ in range(ATTEMPTS):
            minted = name or await self._ids.mint(command.spec.node)
            meta = command.metadata.model_copy(update={"name": minted})
            try:
                stored = await self._store.write(Create(obj=command.model_copy(update={"metadata": meta})))
            except AlreadyExists:
                if name and (known := self._taken(name, command.status.digest, again=again)):
                    return known
                continue
            return _command(stored[0])
        raise Refused(_BUSY)


def _traced(meta: ObjectMeta, caller: Caller) -> ObjectMeta:
    """Where the request stands in a trace is noted after it was told from others: a repeated one stands elsewhere."""
    if not caller.traceparent:
        return meta
    return meta.model_copy(update={"annotations": {**meta.annotations, TRACEPARENT: caller.traceparent}})


def _still_traced(old: ObjectMeta, new: ObjectMeta) -> ObjectMeta:
    """The node is told of the place in the trace: delivered again, a command must say the same."""
    kept = {TRACEPARENT: old.annotations[TRACEPARENT]} if TRACEPARENT in old.annotations else {}
    others = {name: value for name, value in new.annotations.items() if name != TRACEPARENT}
    return new.model_copy(update={"annotations": others | kept})


def digest_of(spec: CommandSpec, meta: ObjectMeta) -> str:
    """SHA-256 of what was asked for, defaults filled in, so that two spellings of one request are the same."""
    wish = spec.model_copy(update={"cancel": False}).model_dump(mode="json", by_alias=True)
    notes = {k: v for k, v in meta.annotations.items() if k != LAST_APPLIED}
    asked = json.dumps([wish, meta.labels, notes], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(asked.encode()).hexdigest()


def _command(obj: object) -> Command:
    assert isinstance(obj, Command)
    return obj


def _check(spec: CommandSpec, name: str, caller: Caller) -> None:
    problems = []
    if name and not KINDS["Command"].name_pattern.fullmatch(name):
        problems.append(
            Problem(field="metadata.name", message="at most 128 of [A-Za-z0-9._-], the first one alphanumeric")
        )
    if spec.type not in SUPPORTED_TYPES:
        problems.append(Problem(field="spec.type", message=f"supported: {', '.join(SUPPORTED_TYPES)}"))
    if spec.params.argv is None and not spec.action:
        problems.append(Problem(field="spec.action", message="required, unless params.argv is given"))
    else:
        problems.extend(_unscriptable(spec))
    if problems:
        raise Invalid("the command is not valid", *problems)
    if spec.params.run_as is not None and not caller.admin:
        raise Denied("params.run_as needs the role admin")


def _unscriptable(spec: CommandSpec) -> list[Problem]:
    try:
        script_of(spec, lambda _: "")
    except ScriptInvalid as error:
        return [Problem(field="spec.params", message=str(error))]
    return []


def _cancelled(command: Command) -> Command:
    return command.model_copy(update={"spec": command.spec.model_copy(update={"cancel": True})})


def _changed(old: Command, asked: Command) -> Command:
    """`old` with what a caller may change of it; cancelling what has ended changes nothing."""
    _check_immutable(old.spec, asked.spec)
    update: dict[str, object] = {"metadata": _still_traced(old.metadata, wish_of(old.metadata, asked.metadata))}
    if not old.ended:
        update["spec"] = asked.spec
    return old.model_copy(update=update)


def _check_immutable(old: CommandSpec, new: CommandSpec) -> None:
    if new.model_copy(update={"cancel": old.cancel}) != old:
        raise Invalid("the command is not valid", Problem(field="spec", message="immutable, except for cancel"))
    if old.cancel and not new.cancel:
        raise Refused("the command is being cancelled, which cannot be taken back")
