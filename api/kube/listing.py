"""Lists: in pages, at the revision that was asked for, and only what was selected."""

from typing import Any, Final

from starlette.requests import Request

from api.errors import APIError, bad_request
from api.kube.selection import Selection
from api.messages import context_of
from api.parameters import flag, number, text
from api.validation import Cause
from controller.store.base import Expired, Page, Store
from controller.store.pages import Place

_CHUNK: Final = 500
"""At least so many are looked at in one go when few of them are selected."""


def check_options(request: Request) -> None:
    """Whether the options go together, as kube-apiserver has it. Raises APIError (400, 422)."""
    version, match = text(request, "resourceVersion"), text(request, "resourceVersionMatch")
    initial, goes_on = text(request, "sendInitialEvents"), text(request, "continue")
    if flag(request, "watch"):
        if initial is not None and match != "NotOlderThan":
            raise _forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        if match is not None and initial is None:
            raise _forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        return
    if initial is not None:
        raise _forbidden("sendInitialEvents is forbidden for list", "sendInitialEvents")
    if match is not None and version is None:
        raise _forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match is not None and goes_on is not None:
        raise _forbidden("resourceVersionMatch is forbidden when continue is provided")
    if match == "Exact" and version == "0":
        raise _forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if goes_on is not None and version not in {None, "0"}:
        raise bad_request("specifying resource version is not allowed when using continue")


def _forbidden(message: str, field: str = "resourceVersionMatch") -> APIError:
    cause = Cause(field=field, message=f"Forbidden: {message}", reason="FieldValueForbidden")
    told = f'ListOptions.meta.k8s.io "" is invalid: {field}: {cause.message}'
    details = {"group": "meta.k8s.io", "kind": "ListOptions"}
    return APIError(422, "Invalid", told, (cause,), details=details)


def found(request: Request, kind: str, selection: Selection) -> Page:
    """What a list shows. Raises Expired for a revision that is not there, InvalidCursor."""
    store, limit = context_of(request).store, number(request, "limit")
    cursor = text(request, "continue") or _exactly(request, kind, store)
    _check_revision(request, store.revision())
    if cursor is None and selection.name is not None:
        return _one(store, kind, selection, selection.name)
    if selection.fields:
        return _sift(store, kind, selection, limit, cursor)
    return store.list(kind, selector=selection.labels, limit=limit, cursor=cursor)


def metadata_of(page: Page, selection: Selection) -> dict[str, Any]:
    """A list's metadata. What is left is counted only where nothing is selected, as in Kubernetes."""
    meta: dict[str, Any] = {"resourceVersion": str(page.revision)}
    if page.next is not None:
        meta["continue"] = page.next
        if selection.everything:
            meta["remainingItemCount"] = page.remaining
    return meta


def _exactly(request: Request, kind: str, store: Store) -> str | None:
    """A cursor to the beginning of the list as it was at the revision that must match exactly."""
    if text(request, "resourceVersionMatch") != "Exact":
        return None
    revision = int(text(request, "resourceVersion") or 0)
    return Place(store=store.uid, kind=kind, revision=revision, after="").encode()


def _check_revision(request: Request, newest: int) -> None:
    """A revision that does not exist (any more): the store began anew, so the client must, too."""
    wanted = text(request, "resourceVersion")
    if wanted is not None and int(wanted) > newest:
        raise Expired(f"revision {wanted} is not there: list again")


def _one(store: Store, kind: str, selection: Selection, name: str) -> Page:
    obj = store.get(kind, name)
    return Page(items=() if obj is None or not selection.matches(obj) else (obj,), revision=store.revision())


def _sift(store: Store, kind: str, selection: Selection, limit: int, cursor: str | None) -> Page:
    """A page of what has the fields: full, unless the list ends before."""
    kept = []
    while True:
        page = store.list(kind, selector=selection.labels, limit=limit and max(limit, _CHUNK), cursor=cursor)
        for place, obj in enumerate(page.items, 1):
            if not selection.has_fields(obj):
                continue
            kept.append(obj)
            if len(kept) == limit:
                end = store.list(kind, selector=selection.labels, limit=place, cursor=cursor)
                return Page(items=kept, revision=page.revision, next=end.next)
        cursor = page.next
        if cursor is None:
            return Page(items=kept, revision=page.revision)
