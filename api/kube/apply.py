"""Server-side apply: what a manager wants of an object, merged by who owns which field (Kubernetes, "Server-Side
Apply"). Every list is atomic; the status is not the client's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json

from api.depth import check_depth
from api.errors import APIError, bad_request
from api.kube.decoding import Decoded, decode
from api.validation import Cause
from controller.admission.applying import OWNED, apply_wish, wish_in
from controller.ownership import FieldConflict, FieldConflicts
from controller.resources.meta import API_VERSION, Resource
from controller.strictyaml import YAMLError, read_document

APPLY_PATCH: Final = "application/apply-patch+yaml"
_MOST_YAML: Final = 256 * 1024
"""Bytes of a body that is not JSON."""
_SHOWN: Final = 100
"""Conflicts that an answer tells about."""

_PARTS: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One apply request: the wish of one manager for the object of that name."""

    model: type[Resource]
    name: str
    body: dict[str, Any]
    manager: str
    force: bool
    strict: bool
    now: datetime

    @property
    def version(self) -> str:
        """The resourceVersion that the wish was made for, if it says."""
        version = self._metadata.get("resourceVersion")
        return version if isinstance(version, str) else ""

    def on(self, old: Resource | None) -> Decoded[Any]:
        """The object as it becomes, with its owners. Raises APIError and ValidationError."""
        decoded: list[Decoded[Any]] = []

        def build(tree: dict[str, Any]) -> Resource:
            decoded.append(self._decode(tree))
            obj: Resource = decoded[-1].obj
            return obj

        try:
            obj = apply_wish(
                old, wish_in(self.body), manager=self.manager, force=self.force, now=self.now, build=build
            )
        except FieldConflicts as error:
            raise _conflict(error) from None
        return Decoded(obj=obj, dropped=decoded[-1].dropped)

    @property
    def _metadata(self) -> dict[str, Any]:
        metadata = self.body.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    def _decode(self, tree: dict[str, Any]) -> Decoded[Any]:
        """The whole object; fields that nobody knows are found here."""
        rest = {key: value for key, value in self.body.items() if key not in _PARTS}
        plain = {key: value for key, value in self._metadata.items() if key not in OWNED and value is not None}
        metadata = {**plain, "name": self.name, **tree.get("metadata", {})}
        whole = {**rest, "apiVersion": API_VERSION, "kind": self.model.__name__, "metadata": metadata}
        return decode(self.model, {**whole, "spec": tree.get("spec", {})}, strict=self.strict)


def wish_of(body: bytes, model: type[Resource], name: str) -> dict[str, Any]:
    """The body, YAML or JSON. Raises APIError (400) unless it is a wish for the object of that name."""
    wish = _read(body)
    if not isinstance(wish, dict):
        raise bad_request("the request's body must be one object")
    for field, value in (("apiVersion", API_VERSION), ("kind", model.__name__)):
        if wish.get(field) != value:
            raise bad_request(f"{field} must be {value}")
    metadata, spec = wish.get("metadata"), wish.get("spec")
    if not isinstance(metadata, dict) or not isinstance(spec, dict | None):
        raise bad_request("metadata and spec must be objects")
    if metadata.get("name") != name:
        raise bad_request("metadata.name is not the name in the path")
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    return wish


def _read(body: bytes) -> Any:
    """What the body says. kubectl sends JSON, which is read as such: YAML takes a hundred times as long."""
    check_depth(body)
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        pass  # then it is YAML
    try:
        return read_document(body, file="the request's body", size_limit=_MOST_YAML).data
    except YAMLError as error:
        raise bad_request(str(error)) from None


def _conflict(error: FieldConflicts) -> APIError:
    """409, worded as Kubernetes words it, so that kubectl can explain it."""
    causes = tuple(
        Cause(
            field=c.field, message=f'conflict with "{c.manager}" using {API_VERSION}', reason="FieldManagerConflict"
        )
        for c in error.conflicts[:_SHOWN]
    )
    return APIError(409, "Conflict", f"{error}: {_told(error.conflicts[:_SHOWN])}", causes)


def _told(conflicts: Sequence[FieldConflict]) -> str:
    if len(conflicts) == 1:
        return f'conflict with "{conflicts[0].manager}" using {API_VERSION}: {conflicts[0].field}'
    managers = dict.fromkeys(c.manager for c in conflicts)
    return "\n".join(
        "\n- ".join(
            (
                f'conflicts with "{manager}" using {API_VERSION}:',
                *(c.field for c in conflicts if c.manager == manager),
            )
        )
        for manager in managers
    )
