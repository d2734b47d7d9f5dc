"""The route table of the Kubernetes face."""

from collections.abc import Iterator
from typing import Final

from api.auth.principal import Role
from api.encoding import Encoder
from api.kube.apply import APPLY_PATCH
from api.kube.discovery import Discovery
from api.kube.encoding import encode_object
from api.kube.handlers import Handlers
from api.kube.kinds import COMMANDS, NODES, Served
from api.kube.patches import JSON_PATCH
from api.kube.schemas import (
    api_group,
    api_group_list,
    api_resource_list,
    apply_schema,
    creation_rule,
    json_patch_schema,
    list_schema,
    merge_schema,
    status_schema,
)
from api.messages import JSON, MERGE_PATCH
from api.parameters import BOOLEAN, SELECTOR, Parameter
from api.routing import Operation, Path, Reply
from controller.resources.meta import GROUP, VERSION

_TAG: Final = "kubernetes"
_ROOT: Final = f"/apis/{GROUP}/{VERSION}"

_VERSION: Final = {"type": "string", "pattern": "^[0-9]{1,18}$"}
_TEXT: Final = {"type": "string", "maxLength": 4096, "pattern": r"^[^\u0000]*$"}

_PRETTY: Final = Parameter(name="pretty", description="Accepted, and ignored.", schema=_TEXT)
_WRITING: Final = (
    _PRETTY,
    Parameter(
        name="dryRun", description="`All`: answer as if it had happened.", schema={"type": "string", "enum": ["All"]}
    ),
    Parameter(
        name="fieldManager",
        description="The program that writes, as managedFields names it; by default the start of its User-Agent.",
        schema={"type": "string", "pattern": r"^[^\u0000-\u001f\u007f]*$", "maxLength": 128},
    ),
    Parameter(
        name="fieldValidation",
        description="What becomes of unknown fields: an error (Strict, the default), a warning, or nothing.",
        schema={"type": "string", "enum": ["Strict", "Warn", "Ignore"]},
    ),
)
_FORCE: Final = Parameter(name="force", description="Apply: take fields from their owners.", schema=BOOLEAN)
_LISTING: Final = (
    _PRETTY,
    Parameter(
        name="labelSelector",
        description="Kubernetes' label selector.",
        schema=SELECTOR,
        usual=True,
    ),
    Parameter(
        name="fieldSelector",
        description="`metadata.name=NAME` is the one there is.",
        schema={"type": "string", "pattern": r"^metadata\.name==?[A-Za-z0-9][A-Za-z0-9._-]*$"},
    ),
    Parameter(
        name="limit", description="At most so many.", schema={"type": "integer", "minimum": 0, "maximum": 10**9}
    ),
    Parameter(name="continue", description="Go on where the last page ended."),
    Parameter(name="resourceVersion", description="Watch from here; a list is never older.", schema=_VERSION),
    Parameter(
        name="resourceVersionMatch",
        description="Accepted: lists are always the newest.",
        schema={"type": "string", "enum": ["NotOlderThan", "Exact"]},
    ),
    Parameter(name="watch", description="Stream what changes instead.", schema=BOOLEAN),
    Parameter(name="allowWatchBookmarks", description="Tell the revision now and then.", schema=BOOLEAN),
    Parameter(name="sendInitialEvents", description="Begin with everything that is there.", schema=BOOLEAN),
    Parameter(
        name="timeoutSeconds",
        description="End the stream after so long.",
        schema={"type": "integer", "minimum": 0, "maximum": 86_400, "example": 1},
    ),
)


def _collection(served: Served, handlers: Handlers) -> Path:
    created: Reply = ("Created.", served.model, JSON)
    return Path(
        template=f"{_ROOT}/{served.plural}",
        tag=_TAG,
        operations={
            "GET": Operation(
                handler=handlers.list,
                summary=f"List or watch {served.plural}",
                parameters=_LISTING,
                responses={200: ("The list; with `watch`, events, one a line.", list_schema(served.model), JSON)},
                stream=True,
            ),
            "POST": Operation(
                handler=handlers.create,
                summary=f"Create a {served.singular}",
                role=Role.OPERATOR,
                body=served.model,
                body_rule=creation_rule(named=served.plural == "nodes"),
                parameters=_WRITING,
                responses={201: created},
            ),
        },
    )


def _object(served: Served, handlers: Handlers) -> Path:
    found: Reply = ("The object.", served.model, JSON)
    return Path(
        template=f"{_ROOT}/{served.plural}/{{name}}",
        tag=_TAG,
        operations={
            "GET": Operation(
                handler=handlers.get,
                summary=f"Get a {served.singular}",
                parameters=(_PRETTY,),
                responses={200: found},
            ),
            "PUT": Operation(
                handler=handlers.replace,
                summary=f"Replace a {served.singular}",
                role=Role.OPERATOR,
                body=served.model,
                parameters=_WRITING,
                responses={200: found},
            ),
            "PATCH": Operation(
                handler=handlers.patch,
                summary=f"Change a {served.singular} by JSON merge patch, JSON patch or server-side apply",
                role=Role.OPERATOR,
                body=merge_schema(served.model),
                body_types=(MERGE_PATCH,),
                body_others={JSON_PATCH: json_patch_schema(), APPLY_PATCH: apply_schema(served.model)},
                parameters=(*_WRITING, _FORCE),
                responses={200: found, 201: ("Created by an apply.", served.model, JSON)},
            ),
            "DELETE": Operation(
                handler=handlers.delete,
                summary=f"Delete a {served.singular}",
                role=Role.OPERATOR,
                parameters=(
                    *_WRITING,
                    Parameter(name="propagationPolicy", description="Accepted, and ignored.", schema=_TEXT),
                    Parameter(
                        name="gracePeriodSeconds",
                        description="Accepted, and ignored.",
                        schema={"type": "integer", "minimum": 0, "maximum": 10**9},
                    ),
                ),
                responses={200: ("Removed.", status_schema(), JSON)},
            ),
        },
    )


def _paths() -> Iterator[Path]:
    encoder, kinds = Encoder(encode_object), (NODES, COMMANDS)
    for served in kinds:
        handlers = Handlers(served, encoder)
        yield _collection(served, handlers)
        yield _object(served, handlers)
    discovery = Discovery(kinds)
    for template, handler, summary, schema in (
        (_ROOT, discovery.resources, "List the resources", api_resource_list()),
        (f"/apis/{GROUP}", discovery.group, "Get the group", api_group()),
        ("/apis", discovery.groups, "List the groups", api_group_list()),
    ):
        operation = Operation(handler=handler, summary=summary, responses={200: ("Discovery.", schema, JSON)})
        yield Path(template=template, tag=_TAG, operations={"GET": operation})


PATHS: Final = tuple(_paths())
