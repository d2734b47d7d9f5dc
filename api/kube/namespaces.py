"""The one namespace, which Events are in. Nodes and commands are in none; but clients such as kopf look for it."""

from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from api.errors import APIError, not_found
from api.kube.events.told import NAMESPACE
from api.kube.negotiation import PLAIN, negotiate
from api.kube.parameters import COMMON, LISTING
from api.kube.selection import Selection, parse_fields
from api.messages import JSON, answer, context_of
from api.parameters import flag, text
from api.routing import Operation, Path
from controller.resources.meta import ObjectMeta, Resource
from controller.store.selector import Selector

_ROOT: Final = "/api/v1/namespaces"
_META: Final = {"name": NAMESPACE, "labels": {"kubernetes.io/metadata.name": NAMESPACE}}
_WHOLE: Final[dict[str, Any]] = {
    "kind": "Namespace",
    "apiVersion": "v1",
    "metadata": {**_META, "uid": NAMESPACE, "resourceVersion": "1"},
    "spec": {"finalizers": ["kubernetes"]},
    "status": {"phase": "Active"},
}
_SELECTABLE: Final = Resource(api_version="v1", kind="Namespace", metadata=ObjectMeta.model_validate(_META))
_OBJECT: Final = {"type": "object", "properties": {"kind": {"const": "Namespace"}}, "required": ["kind"]}
_LIST: Final = {"type": "object", "properties": {"kind": {"const": "NamespaceList"}}, "required": ["kind"]}


async def _list(request: Request) -> Response:
    """The namespace, where it is selected. It never changes, so there is no watch."""
    if flag(request, "watch"):
        raise APIError(405, "MethodNotAllowed", "namespaces cannot be watched: there is one, and it never changes")
    negotiate(request, (PLAIN,))
    labels, fields = text(request, "labelSelector"), text(request, "fieldSelector")
    selection = Selection(
        labels=None if labels is None else Selector.parse(labels),
        fields=() if fields is None else parse_fields(fields, {"status.phase": lambda _: "Active"}),
    )
    items = [_WHOLE] if selection.matches(_SELECTABLE) else []
    meta = {"resourceVersion": str(context_of(request).store.revision())}
    return answer({"kind": "NamespaceList", "apiVersion": "v1", "metadata": meta, "items": items})


async def _get(request: Request) -> Response:
    """The namespace."""
    negotiate(request, (PLAIN,))
    if (name := request.path_params["name"]) != NAMESPACE:
        raise not_found("namespaces", name[:63])
    return answer(_WHOLE)


def namespace_paths() -> Iterator[Path]:
    """Their routes."""
    listing = Operation(
        handler=_list,
        summary="List namespaces",
        parameters=LISTING,
        responses={200: ("The list.", _LIST, JSON)},
    )
    getting = Operation(
        handler=_get,
        summary="Get a namespace",
        parameters=COMMON,
        responses={200: ("The namespace.", _OBJECT, JSON)},
    )
    yield Path(template=_ROOT, tag="kubernetes", operations={"GET": listing})
    yield Path(template=f"{_ROOT}/{{name}}", tag="kubernetes", operations={"GET": getting})
