"""The route table of events."""

from collections.abc import Iterator
from typing import Any, Final

from api.auth.principal import Role
from api.kube.events.body import schema_of
from api.kube.events.handlers import STRATEGIC, Handlers
from api.kube.events.shape import CORE, GROUPED, PATTERN
from api.messages import JSON, MERGE_PATCH
from api.parameters import BOOLEAN, Parameter
from api.routing import Operation, Path

_TAG: Final = "kubernetes"
_ROOTS: Final = {CORE: "/api/v1", GROUPED: "/apis/events.k8s.io/v1"}

_TEXT: Final = {"type": "string", "maxLength": 4096, "pattern": r"^[^\u0000]*$"}
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["kind", "apiVersion", "metadata"],
    "properties": {"kind": {"const": "Event"}, "apiVersion": {"type": "string"}, "metadata": {"type": "object"}},
}
_LIST: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["kind", "apiVersion", "metadata", "items"],
    "properties": {"kind": {"const": "EventList"}, "metadata": {"type": "object"}, "items": {"type": "array"}},
}
_STATUS: Final[dict[str, Any]] = {"type": "object", "required": ["status"]}

_WRITING: Final = tuple(
    Parameter(name=name, description="Accepted, and ignored.", schema=_TEXT)
    for name in ("pretty", "timeout", "fieldManager", "fieldValidation", "propagationPolicy")
)
_LISTING: Final = (
    Parameter(
        name="fieldSelector",
        description="As Kubernetes has it for events.",
        schema={"type": "string", "pattern": PATTERN},
        usual=True,
    ),
    Parameter(name="labelSelector", description="Accepted, and ignored: events have no labels.", schema=_TEXT),
    Parameter(
        name="limit", description="At most so many.", schema={"type": "integer", "minimum": 0, "maximum": 10**9}
    ),
    Parameter(name="continue", description="Go on where the last page ended."),
    Parameter(name="watch", description="Refused: events cannot be watched.", schema=BOOLEAN),
    *(
        Parameter(name=name, description="Accepted, and ignored.", schema=_TEXT)
        for name in (
            "allowWatchBookmarks",
            "includeObject",
            "pretty",
            "resourceVersion",
            "resourceVersionMatch",
            "timeout",
            "timeoutSeconds",
        )
    ),
)


def _paths() -> Iterator[Path]:
    for version, root in _ROOTS.items():
        handlers = Handlers(version)
        listing = Operation(
            handler=handlers.list,
            summary="List events",
            parameters=_LISTING,
            responses={200: ("The list.", _LIST, JSON)},
        )
        creating = Operation(
            handler=handlers.create,
            summary="Report an event",
            role=Role.OPERATOR,
            body=schema_of(version),
            parameters=_WRITING,
            responses={201: ("Reported.", _EVENT, JSON)},
        )
        yield Path(template=f"{root}/events", tag=_TAG, operations={"GET": listing})
        yield Path(
            template=f"{root}/namespaces/{{namespace}}/events",
            tag=_TAG,
            operations={"GET": listing, "POST": creating},
        )
        yield _one(root, handlers, schema_of(version))


def _one(root: str, handlers: Handlers, schema: dict[str, Any]) -> Path:
    found = {200: ("The event.", _EVENT, JSON)}
    return Path(
        template=f"{root}/namespaces/{{namespace}}/events/{{name}}",
        tag=_TAG,
        operations={
            "GET": Operation(handler=handlers.get, summary="Get an event", responses=found),
            "PUT": Operation(
                handler=handlers.replace,
                summary="Replace an event that was reported",
                role=Role.OPERATOR,
                body=schema,
                parameters=_WRITING,
                responses=found,
            ),
            "PATCH": Operation(
                handler=handlers.patch,
                summary="Change an event that was reported",
                role=Role.OPERATOR,
                body=schema,
                body_types=(MERGE_PATCH, STRATEGIC),
                parameters=_WRITING,
                responses=found,
            ),
            "DELETE": Operation(
                handler=handlers.delete,
                summary="Remove an event that was reported",
                role=Role.OPERATOR,
                parameters=_WRITING,
                responses={200: ("Removed.", _STATUS, JSON)},
            ),
        },
    )


PATHS: Final = tuple(_paths())
