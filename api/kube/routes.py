"""The route table of the Kubernetes face."""

from collections.abc import Iterator
from typing import Final

from api.auth.principal import Role
from api.kube.apply import APPLY_PATCH
from api.kube.discovery import EVENTS, own_group
from api.kube.document_routes import document_paths
from api.kube.events import routes as events
from api.kube.handlers import Handlers
from api.kube.kinds import COMMANDS, NODES, Served
from api.kube.namespaces import namespace_paths
from api.kube.openapi import OpenAPI
from api.kube.parameters import DELETING, FORCE, LISTING, READING, SELECTING, WRITING
from api.kube.patches import JSON_PATCH
from api.kube.reviews import review_groups, review_paths
from api.kube.schemas import (
    OBSERVING,
    apply_schema,
    creation_rule,
    json_patch_schema,
    list_schema,
    merge_schema,
    removal_schema,
    status_schema,
)
from api.kube.showing import encoders
from api.kube.status import StatusHandlers
from api.messages import JSON, MERGE_PATCH
from api.routing import Operation, Path, Reply
from controller.resources.meta import GROUP, VERSION

_TAG: Final = "kubernetes"
_ROOT: Final = f"/apis/{GROUP}/{VERSION}"


def _collection(served: Served, handlers: Handlers) -> Path:
    created: Reply = ("Created.", served.model, JSON)
    return Path(
        template=f"{_ROOT}/{served.plural}",
        tag=_TAG,
        operations={
            "GET": Operation(
                handler=handlers.list,
                summary=f"List or watch {served.plural}",
                parameters=LISTING,
                responses={200: ("The list; with `watch`, events, one a line.", list_schema(served.model), JSON)},
                stream=True,
            ),
            "POST": Operation(
                handler=handlers.create,
                summary=f"Create a {served.singular}",
                role=Role.OPERATOR,
                body=served.model,
                body_rule=creation_rule(named=served.plural == "nodes"),
                parameters=WRITING,
                responses={201: created},
            ),
            "DELETE": Operation(
                handler=handlers.delete_collection,
                summary=f"Delete {served.plural}",
                role=Role.OPERATOR,
                parameters=(*DELETING, *SELECTING),
                responses={200: ("What is gone.", list_schema(served.model), JSON)},
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
                parameters=READING,
                responses={200: found},
            ),
            "PUT": Operation(
                handler=handlers.replace,
                summary=f"Replace a {served.singular}",
                role=Role.OPERATOR,
                body=served.model,
                parameters=WRITING,
                responses={200: found},
            ),
            "PATCH": Operation(
                handler=handlers.patch,
                summary=f"Change a {served.singular} by JSON merge patch, JSON patch or server-side apply",
                role=Role.OPERATOR,
                body=merge_schema(served.model),
                body_types=(MERGE_PATCH,),
                body_others={JSON_PATCH: json_patch_schema(), APPLY_PATCH: apply_schema(served.model)},
                parameters=(*WRITING, FORCE),
                responses={200: found, 201: ("Created by an apply.", served.model, JSON)},
            ),
            "DELETE": Operation(
                handler=handlers.delete,
                summary=f"Delete a {served.singular}",
                role=Role.OPERATOR,
                parameters=DELETING,
                responses={200: ("Removed, or marked.", removal_schema(served.model), JSON)},
            ),
        },
    )


def _status(served: Served, handlers: StatusHandlers) -> Path:
    found: Reply = ("The object.", served.model, JSON)
    return Path(
        template=f"{_ROOT}/{served.plural}/{{name}}/status",
        tag=_TAG,
        operations={
            "GET": Operation(
                handler=handlers.get,
                summary=f"Get a {served.singular} by its status",
                parameters=READING,
                responses={200: found},
            ),
            "PUT": Operation(
                handler=handlers.replace,
                summary=f"Replace others' conditions in a {served.singular}'s status",
                role=Role.OPERATOR,
                body=status_schema(),
                parameters=WRITING,
                responses={200: found},
            ),
            "PATCH": Operation(
                handler=handlers.patch,
                summary=f"Change others' conditions in a {served.singular}'s status",
                role=Role.OPERATOR,
                body=status_schema(),
                body_types=(MERGE_PATCH,),
                body_others={JSON_PATCH: json_patch_schema(OBSERVING)},
                parameters=(*WRITING, FORCE),
                responses={200: found},
            ),
        },
    )


def _paths() -> Iterator[Path]:
    kept, kinds = encoders(), (NODES, COMMANDS)
    for served in kinds:
        handlers = Handlers(served, kept)
        yield _collection(served, handlers)
        yield _object(served, handlers)
        yield _status(served, StatusHandlers(served, kept))
    yield from review_paths()
    yield from document_paths((own_group(kinds), EVENTS, *review_groups()), OpenAPI(kinds, lambda: PATHS))


PATHS: Final = (*_paths(), *namespace_paths(), *events.PATHS)
