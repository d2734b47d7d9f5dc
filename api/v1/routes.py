"""The route table of the document's API."""

from typing import Final

from api.auth.principal import Role
from api.messages import JSON, MERGE_PATCH
from api.parameters import BOOLEAN, DURATION, SELECTOR, Parameter
from api.routing import Operation, Path, Reply
from api.v1 import commands, discovery, nodes, output, services, timeline
from api.v1.bodies import (
    ClaimRequest,
    CommandRequest,
    Heartbeat,
    NodeChange,
    NodeRegistration,
    ResultReport,
    TrustRequest,
)
from api.v1.listing import MAX_LIMIT
from api.v1.views import (
    AcceptedView,
    ClaimsView,
    CommandListView,
    CommandStatusName,
    CommandView,
    LogChunkView,
    NodeListView,
    NodeStatusName,
    NodeStatusView,
    NodeView,
    ServiceNodesView,
    ServicesView,
    TargetGroup,
    TimelineView,
)

_NODE: Final[Reply] = ("The whole node.", NodeView, JSON)
_DONE: Final[Reply] = ("Done.", None, JSON)
_ENDED: Final[Reply] = ("The command has ended, whatever the outcome.", CommandView, JSON)
_ACCEPTED: Final[Reply] = ("The command has not ended yet; `Location` is where to look.", CommandView, JSON)

_SELECTOR: Final = Parameter(
    name="labelSelector",
    description="Kubernetes' label selector, for example `env=dev,tier!=db`.",
    schema=SELECTOR,
    usual=True,
)
_LIMIT: Final = Parameter(
    name="limit",
    description="At most so many; 0 is all.",
    schema={"type": "integer", "minimum": 0, "maximum": MAX_LIMIT},
)
_CONTINUE: Final = Parameter(name="continue", description="Go on where the last page ended.")
_IF_MATCH: Final = Parameter(
    name="If-Match", where="header", description="Change only this version (an entity tag); 412 for another."
)


_SINCE: Final = (
    r"^(?:20[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
    r"|0|[1-9][0-9]{0,2}(?:ms|s|m|h))$"
)


def _one_of(name: str, description: str, kind: object) -> Parameter:
    values = list(getattr(kind, "__args__", ()))
    return Parameter(name=name, description=description, schema={"type": "string", "enum": values})


_TEXT: Final = {"type": "string", "maxLength": 255, "pattern": r"^[^\u0000]*$"}

_TRUST_SOMETHING: Final = {
    "anyOf": [
        {"required": ["fingerprint"], "properties": {"fingerprint": {"type": "string"}}},
        {"required": ["credential"], "properties": {"credential": {"const": True}}},
    ]
}

NODE_PATHS: Final = (
    Path(
        template="/api/v1/nodes",
        tag="nodes",
        operations={
            "GET": Operation(
                handler=nodes.list_nodes,
                summary="List nodes",
                parameters=(
                    _SELECTOR,
                    _one_of("status", "Only nodes with this effective status.", NodeStatusName),
                    Parameter(name="provider", description="Only nodes of this provider.", schema=_TEXT),
                    _LIMIT,
                    _CONTINUE,
                ),
                responses={200: ("Nodes, sorted by id.", NodeListView, JSON)},
            ),
            "POST": Operation(
                handler=nodes.register,
                summary="Register a node, or register it again",
                role=None,
                body=NodeRegistration,
                responses={200: _NODE},
            ),
        },
    ),
    Path(
        template="/api/v1/nodes/{id}",
        tag="nodes",
        operations={
            "GET": Operation(handler=nodes.get_node, summary="Get a node", responses={200: _NODE}),
            "PUT": Operation(
                handler=nodes.put_node,
                summary="Change the fields given; null clears one",
                role=Role.OPERATOR,
                body=NodeChange,
                parameters=(_IF_MATCH,),
                responses={200: _NODE},
            ),
            "PATCH": Operation(
                handler=nodes.patch_node,
                summary="Change by JSON merge patch (RFC 7396)",
                role=Role.OPERATOR,
                body=NodeChange,
                body_types=(MERGE_PATCH, JSON),
                parameters=(_IF_MATCH,),
                responses={200: _NODE},
            ),
            "DELETE": Operation(
                handler=nodes.delete_node,
                summary="Unregister a node",
                role=Role.ADMIN,
                responses={204: _DONE, 202: ("It goes once its finalizers are gone.", None, JSON)},
            ),
        },
    ),
    Path(
        template="/api/v1/nodes/{id}/status",
        tag="nodes",
        operations={
            "GET": Operation(
                handler=nodes.get_status,
                summary="Get a node's status",
                responses={200: ("Status, last contact and uptime.", NodeStatusView, JSON)},
            ),
        },
    ),
    Path(
        template="/api/v1/nodes/{id}/heartbeat",
        tag="nodes",
        operations={
            "POST": Operation(
                handler=nodes.heartbeat,
                summary="Say that the node is there",
                role=None,
                body=Heartbeat,
                body_required=False,
                responses={204: _DONE},
            ),
        },
    ),
    Path(
        template="/api/v1/nodes/{id}/trust",
        tag="nodes",
        operations={
            "POST": Operation(
                handler=nodes.trust,
                summary="Trust a host key that the node presented, or another place for its credential",
                role=Role.ADMIN,
                body=TrustRequest,
                body_rule=_TRUST_SOMETHING,
                responses={200: _NODE},
            ),
        },
    ),
)

COMMAND_PATHS: Final = (
    Path(
        template="/api/v1/nodes/{id}/commands",
        tag="commands",
        operations={
            "POST": Operation(
                handler=commands.send_command,
                summary="Send a command",
                role=Role.OPERATOR,
                body=CommandRequest,
                parameters=(
                    Parameter(
                        name="wait",
                        description="Wait so long for its end instead of the default; `0` not at all.",
                        schema={
                            "type": "string",
                            "format": DURATION,
                            "pattern": "^(?:0|[1-9][0-9]{0,2}(?:ms|s|m))$",
                            "example": "0",
                        },
                        usual=True,
                    ),
                    Parameter(name="Prefer", where="header", description="`respond-async` is the same as `wait=0`."),
                    Parameter(
                        name="Idempotency-Key",
                        where="header",
                        description="The caller's own id for the command: sent again, it is not done again.",
                        schema={"type": "string", "pattern": r'^\s*"?[A-Za-z0-9][A-Za-z0-9._-]{0,127}"?\s*$'},
                    ),
                ),
                responses={200: _ENDED, 202: _ACCEPTED},
            ),
        },
    ),
    Path(
        template="/api/v1/nodes/{id}/commands/claim",
        tag="commands",
        operations={
            "POST": Operation(
                handler=commands.claim_commands,
                summary="Fetch work, as an agent that reports by itself",
                role=None,
                body=ClaimRequest,
                body_required=False,
                responses={200: ("Commands that are handed out by this.", ClaimsView, JSON)},
            ),
        },
    ),
    Path(
        template="/api/v1/commands",
        tag="commands",
        operations={
            "GET": Operation(
                handler=commands.list_commands,
                summary="List commands",
                parameters=(
                    Parameter(name="node", description="Only commands for this node.", schema=_TEXT),
                    _one_of("status", "Only commands with this status.", CommandStatusName),
                    Parameter(
                        name="since",
                        description="Only commands created since: a time (RFC 3339), or a duration before now.",
                        schema={"type": "string", "pattern": _SINCE, "example": "10m"},
                        usual=True,
                    ),
                    _SELECTOR,
                    _LIMIT,
                    _CONTINUE,
                ),
                responses={200: ("Commands, sorted by id.", CommandListView, JSON)},
            ),
        },
    ),
    Path(
        template="/api/v1/commands/{id}",
        tag="commands",
        operations={
            "GET": Operation(
                handler=commands.get_command,
                summary="Get a command and its result",
                responses={200: ("The command.", CommandView, JSON)},
            ),
        },
    ),
    Path(
        template="/api/v1/commands/{id}/cancel",
        tag="commands",
        operations={
            "POST": Operation(
                handler=commands.cancel_command,
                summary="Cancel a command",
                role=Role.OPERATOR,
                responses={200: _ENDED, 202: _ACCEPTED},
            ),
        },
    ),
    Path(
        template="/api/v1/commands/{id}/logs",
        tag="commands",
        operations={
            "GET": Operation(
                handler=output.get_logs,
                summary="Read a command's output",
                parameters=(
                    Parameter(
                        name="stream",
                        description="Which view: both streams in read order, or one of them.",
                        schema={"type": "string", "enum": ["all", "stdout", "stderr"]},
                    ),
                    Parameter(
                        name="offset",
                        description="Skip so many bytes of the view.",
                        schema={"type": "integer", "minimum": 0, "maximum": 2**53},
                    ),
                    Parameter(name="follow", description="Go on until the command has ended.", schema=BOOLEAN),
                    Parameter(
                        name="Last-Event-ID",
                        where="header",
                        description="As Server-Sent Events: go on after the chunk with this id.",
                        schema={"type": "string", "pattern": "^[0-9]{0,16}$"},
                    ),
                ),
                responses={
                    200: (
                        ("Raw bytes; with the Accept header, tagged chunks.", None, output.RAW),
                        ("Tagged chunks, one a line.", LogChunkView, output.NDJSON),
                        ("Tagged chunks, one an event.", None, output.EVENTS),
                    ),
                    204: ("As Server-Sent Events: nothing follows what the client has.", None, JSON),
                },
                stream=True,
            ),
        },
    ),
    Path(
        template="/api/v1/commands/{id}/timeline",
        tag="commands",
        operations={
            "GET": Operation(
                handler=timeline.get_timeline,
                summary="Get what happened to a command, when and why",
                responses={200: ("Its phases, in order.", TimelineView, JSON)},
            ),
        },
    ),
    Path(
        template="/api/v1/commands/{id}/result",
        tag="commands",
        operations={
            "POST": Operation(
                handler=commands.report_result,
                summary="Report a command's result",
                role=None,
                body=ResultReport,
                responses={202: ("Taken.", AcceptedView, JSON)},
            ),
        },
    ),
)

_SOURCE: Final = Parameter(
    name="source",
    description="Only services that were declared, or that were found so.",
    schema={"type": "string", "enum": ["declared", "socket", "container", "systemd"]},
)
_WHICH_SERVICES: Final = (
    Parameter(name="type", description="Only services of this type.", schema=_TEXT),
    Parameter(name="status", description="Only services with this status.", schema=_TEXT),
    _SOURCE,
    _SELECTOR,
)

SERVICE_PATHS: Final = (
    Path(
        template="/api/v1/services",
        tag="services",
        operations={
            "GET": Operation(
                handler=services.list_services,
                summary="List services by node",
                parameters=(
                    Parameter(name="node", description="Only services of this node.", schema=_TEXT),
                    *_WHICH_SERVICES,
                ),
                responses={200: ("Services.", ServicesView, JSON)},
            ),
        },
    ),
    Path(
        template="/api/v1/services/{name}",
        tag="services",
        operations={
            "GET": Operation(
                handler=services.get_service,
                summary="Get the services of one name, across nodes",
                parameters=_WHICH_SERVICES,
                responses={200: ("The services.", ServiceNodesView, JSON)},
            ),
        },
    ),
)

DISCOVERY_PATHS: Final = (
    Path(
        template="/api/v1/sd/prometheus",
        tag="services",
        operations={
            "GET": Operation(
                handler=discovery.prometheus_targets,
                summary="Services as targets for Prometheus",
                parameters=(
                    Parameter(name="type", description="Only services of this type.", schema=_TEXT),
                    Parameter(
                        name="healthy",
                        description="Only services that are (true) or are not (false) known to run.",
                        schema=BOOLEAN,
                    ),
                    _SOURCE,
                    _SELECTOR,
                    Parameter(name="If-None-Match", where="header", description="304 if it is still this one."),
                ),
                responses={
                    200: ("Target groups.", list[TargetGroup], JSON),
                    304: ("Not changed.", None, JSON),
                },
            ),
        },
    ),
)

PATHS: Final = DISCOVERY_PATHS + COMMAND_PATHS + NODE_PATHS + SERVICE_PATHS
