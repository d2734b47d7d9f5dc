"""The paths of what describes this face: discovery, OpenAPI and the version."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from api.kube import discovery
from api.kube.discovery import CORE, Group
from api.kube.openapi import V3, OpenAPI, legacy
from api.kube.parameters import COMMON
from api.kube.schemas import document_schema
from api.messages import JSON
from api.parameters import Parameter
from api.routing import Handler, Operation, Path

_TAG: Final = "kubernetes"
_OBJECT: Final = {"type": "object"}
_HASH: Final = Parameter(
    name="hash",
    description="Accepted, and ignored: the index names the newest document.",
    schema={"type": "string", "maxLength": 128, "pattern": "^[0-9A-Za-z]*$"},
)


def document_paths(groups: Sequence[Group], openapi: OpenAPI) -> Iterator[Path]:
    """Discovery of these groups and of Kubernetes' own, and the documents of OpenAPI."""
    yield _path("/version", discovery.version, "Get the version")
    yield _path("/api", discovery.core_versions(), "List the versions of the core group", "APIVersions")
    yield _path("/apis", discovery.group_list(groups), "List the groups", "APIGroupList")
    for group in groups:
        handler = discovery.one_group(group)
        yield _path(f"/apis/{group.name}", handler, f"Get the group {group.name}", "APIGroup")
    for group in (CORE, *groups):
        handler = discovery.resource_list(group)
        yield _path(group.root, handler, f"List the resources of {group.group_version}", "APIResourceList")
    yield _path("/openapi/v2", legacy, "An empty document, for old clients")
    yield _path("/openapi/v3", openapi.index, "List the OpenAPI v3 documents")
    yield _path(V3, openapi.group, "The kinds in OpenAPI v3", more=(_HASH,))


def _path(template: str, handler: Handler, summary: str, kind: str = "", *, more: tuple[Parameter, ...] = ()) -> Path:
    schema: dict[str, Any] = document_schema(kind) if kind else _OBJECT
    operation = Operation(
        handler=handler,
        summary=summary,
        parameters=(*COMMON, *more),
        responses={200: ("What there is.", schema, JSON)},
    )
    return Path(template=template, tag=_TAG, operations={"GET": operation})
