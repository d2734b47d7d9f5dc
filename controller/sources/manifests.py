"""`sources.manifests`: nodes from a folder of manifests, like a static source of a kubelet or of Flux.

    look → unchanged and nothing due? done
         → changed? wait until it is the same twice, for whoever writes it may not be ready
         → read → apply each manifest → remove what has left

What is applied is marked with the annotation `vendetta.dev/source` and with a field manager of its own. Removed is
only what bears one of the marks, and only when everything in the folder could be read: a file that is wrong may mean
the very object. What others have created is theirs until somebody gives it the annotation.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from pydantic import ValidationError
from pydantic_core import to_json

from controller.admission import Admission, AdmissionError, Caller, Unknown
from controller.admission.applying import apply_wish, wish_in
from controller.manifests.parsing import Parsed
from controller.metrics import Metrics
from controller.ownership import APPLY, owners_of
from controller.resources.meta import API_VERSION, GROUP
from controller.resources.node import Node
from controller.runtime.clock import Clock
from controller.sources.directory import Content, Directory, Signature
from controller.sources.told import SourceLog
from controller.store.base import Store, StoreError

log = structlog.get_logger(__name__)

SOURCE: Final = f"{GROUP}/source"
"""The annotation that says where an object comes from."""
NAME: Final = "manifests"
MANAGER: Final = "vendetta-manifests"
_CALLER: Final = Caller(name=NAME, admin=True, operator=True, manager=MANAGER, applies=True)
_BATCH: Final = 64
"""Objects written at the same time: the store commits them together."""
_MOST_TOLD: Final = 10
_LONGEST: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why something in the folder has no effect. The reason is an event's."""

    reason: str
    message: str


class ManifestSource:
    """The source. `look` is called over and over."""

    def __init__(
        self,
        directory: Directory,
        *,
        store: Store,
        admission: Admission,
        clock: Clock,
        metrics: Metrics,
        told: SourceLog,
        interval: float,
    ) -> None:
        """`interval`: seconds after which everything is applied again, whether the folder has changed or not."""
        self._directory, self._store, self._admission = directory, store, admission
        self._clock, self._metrics, self._log, self._interval = clock, metrics, told, interval
        self._seen: Signature | None = None
        self._applied: Signature | None = None
        self._due = 0.0
        self._content: Content | None = None
        self._kept: dict[str, tuple[Parsed, Node]] = {}
        self._problems: tuple[Problem, ...] = ()

    async def look(self) -> None:
        """One look at the folder, and what follows from it."""
        try:
            signature = await asyncio.to_thread(self._directory.signature)
            changed, self._seen = signature != self._seen, signature
            due = self._clock.monotonic() >= self._due
            if changed or (signature == self._applied and not due):
                return
            if self._content is None or signature != self._applied:
                self._content = await asyncio.to_thread(self._directory.read)
            if await asyncio.to_thread(self._directory.signature) != signature:
                return
        except OSError as error:
            self._seen = self._applied = None
            self._report((Problem(reason="Unreadable", message=f"{self._directory.path}: {error.strerror}"),))
            return
        await self._bring_about(self._content)
        self._applied, self._due = signature, self._clock.monotonic() + self._interval

    def leave(self) -> None:
        """Another server looks at the folder: what this one saw counts no more."""
        self._seen = self._applied = None
        self._problems = ()
        self._metrics.manifest_objects.set(0)
        self._metrics.manifest_problems.set(0)

    async def _bring_about(self, content: Content) -> None:
        problems = [Problem(reason="InvalidManifest", message=message) for message in content.problems]
        wanted = [manifest for manifest in content.manifests if self._is_admitted(manifest, problems)]
        changes: Counter[str] = Counter()
        for start in range(0, len(wanted), _BATCH):
            ends = await asyncio.gather(*(self._apply(manifest) for manifest in wanted[start : start + _BATCH]))
            problems += [end for end in ends if isinstance(end, Problem)]
            changes.update(end for end in ends if isinstance(end, str))
        if not content.problems:
            await self._prune({manifest.name for manifest in wanted}, changes, problems)
        self._account(len(wanted), changes)
        self._report(problems)

    @staticmethod
    def _is_admitted(manifest: Parsed, problems: list[Problem]) -> bool:
        if manifest.model is Node:
            return True
        message = f"{manifest.origin}: {manifest.title}: a folder can want nodes only, not that something be done"
        problems.append(Problem(reason="InvalidManifest", message=message))
        return False

    # -- one object ------------------------------------------------------------------------------------------------

    async def _apply(self, manifest: Parsed) -> Problem | str | None:
        """Make the node what the manifest says. Returns what was done: `created`, `changed`, nothing, a problem."""
        known = self._store.get("Node", manifest.name)
        try:
            if not isinstance(known, Node):
                stored, done = await self._admission.nodes.create(self._changed(manifest, None), _CALLER), "created"
            elif not is_ours(known):
                return Problem(reason="NotOwned", message=_not_owned(manifest))
            elif self._is_kept(manifest, known):
                return None
            else:
                stored = await self._admission.nodes.update(
                    manifest.name, lambda old: self._changed(manifest, old), _CALLER
                )
                done = "" if stored.metadata.resource_version == known.metadata.resource_version else "changed"
        except (AdmissionError, StoreError) as error:
            return Problem(reason="Refused", message=f"{manifest.origin}: {manifest.title}: {error}")
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            return Problem(reason="Refused", message=f"{manifest.origin}: {manifest.title}: {first['msg']}")
        self._kept[manifest.name] = manifest, stored
        return done or None

    def _changed(self, manifest: Parsed, old: Node | None) -> Node:
        wish = wish_in(manifest.data)
        wish["metadata"]["annotations"] = {**wish["metadata"].get("annotations", {}), SOURCE: NAME}

        def build(tree: dict[str, Any]) -> Node:
            metadata = {"name": manifest.name, **tree.get("metadata", {})}
            whole = {"apiVersion": API_VERSION, "kind": "Node", "metadata": metadata, "spec": tree.get("spec", {})}
            return Node.model_validate_json(to_json(whole))

        return apply_wish(old, wish, manager=MANAGER, force=True, now=self._clock.now(), build=build)

    def _is_kept(self, manifest: Parsed, node: Node) -> bool:
        """Whether this very manifest was applied, and nobody has changed the node's wish since."""
        if manifest.name not in self._kept:
            return False
        applied, stored = self._kept[manifest.name]
        return applied is manifest and _wish_of(stored) == _wish_of(node)

    async def _prune(self, wanted: set[str], changes: Counter[str], problems: list[Problem]) -> None:
        for node in self._store.list("Node").items:
            marked = node.metadata.deletion_timestamp is not None
            if not isinstance(node, Node) or marked or node.name in wanted or not is_ours(node):
                continue
            try:
                await self._admission.nodes.delete(node.name, _CALLER)
            except Unknown:
                continue
            except (AdmissionError, StoreError) as error:
                problems.append(
                    Problem(reason="Refused", message=f"node/{node.name}, which left the folder: {error}")
                )
                continue
            changes["deleted"] += 1
        self._kept = {name: kept for name, kept in self._kept.items() if name in wanted}

    # -- saying so -------------------------------------------------------------------------------------------------

    def _account(self, wanted: int, changes: Counter[str]) -> None:
        now = self._clock.now()
        self._metrics.manifest_objects.set(wanted)
        self._metrics.manifest_applied.set(now.timestamp())
        for change, count in changes.items():
            self._metrics.manifest_changes.labels(change).inc(count)
        if changes:
            log.info("manifests applied", path=str(self._directory.path), objects=wanted, **changes)
            told = ", ".join(f"{count} {change}" for change, count in sorted(changes.items()))
            self._log.note("Applied", f"{wanted} objects wanted: {told}", warning=False, at=now)

    def _report(self, problems: Iterable[Problem]) -> None:
        """Log what is new; an event tells for as long as it is the case."""
        before, self._problems = self._problems, tuple(problems)
        self._metrics.manifest_problems.set(len(self._problems))
        by_reason: dict[str, list[str]] = {}
        for problem in self._problems:
            by_reason.setdefault(problem.reason, []).append(problem.message)
        for reason, messages in by_reason.items():
            self._log.note(reason, _summary(messages), warning=True, at=self._clock.now())
        if self._problems == before:
            return
        for problem in self._problems[:_MOST_TOLD]:
            log.warning("a manifest has no effect", reason=problem.reason, problem=problem.message)
        if not self._problems:
            log.info("every manifest has its effect again")
        elif len(self._problems) > _MOST_TOLD:
            log.warning("and more manifests have no effect", problems=len(self._problems))


def is_ours(node: Node) -> bool:
    """Whether this source has made the node what it is, or was given it."""
    if node.metadata.annotations.get(SOURCE) == NAME:
        return True
    return any(owner.is_(MANAGER, APPLY) for owner in owners_of(node.metadata.managed_fields))


def _wish_of(node: Node) -> tuple[object, ...]:
    meta = node.metadata
    return meta.uid, node.spec, meta.labels, meta.annotations, meta.finalizers, meta.owner_references


def _not_owned(manifest: Parsed) -> str:
    return (
        f"{manifest.origin}: {manifest.title} was created by somebody else and stays as it is; "
        f"to hand it over, give it the annotation {SOURCE}={NAME}"
    )


def _summary(messages: list[str]) -> str:
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return messages[0][: _LONGEST - len(more)] + more
