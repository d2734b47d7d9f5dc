"""What the document's API answers. These types are what the handlers build and what the OpenAPI document shows."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from controller.timeline import Phase

NodeStatusName = Literal["active", "inactive", "unreachable", "draining", "unknown"]
CommandStatusName = Literal["pending", "running", "success", "error", "timeout", "cancelled", "unknown"]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Count = Annotated[int, Field(ge=0)]


class ConditionView(TypedDict):
    """One observation."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_transition_time: Time


class ServiceView(TypedDict):
    """A service on a node."""

    id: str
    name: str
    type: str
    status: str
    port: int | None
    endpoint: str | None
    metadata: NotRequired[dict[str, str]]
    check: NotRequired[dict[str, Any]]
    source: NotRequired[Literal["declared", "socket", "container", "systemd"]]
    stale: NotRequired[bool]
    message: NotRequired[str]
    last_check: NotRequired[Time]
    latency: NotRequired[str]


class HostKeyView(TypedDict):
    """A host key that the node presented."""

    key: str
    fingerprint: str
    trusted: bool
    first_seen: Time | None


class NodeView(TypedDict):
    """A node."""

    id: str
    name: str
    provider: str
    status: NodeStatusName
    address: str
    port: int | None
    labels: dict[str, str]
    capabilities: dict[str, JsonValue]
    services: dict[str, ServiceView]
    metadata: dict[str, str]
    discovery: NotRequired[bool]
    transport: NotRequired[dict[str, Any]]
    transports: NotRequired[list[dict[str, Any]]]
    host_keys: NotRequired[list[HostKeyView]]
    conditions: list[ConditionView]
    last_seen: Time | None
    created_at: Time | None
    updated_at: Time | None
    uid: str
    resource_version: str


NodeListView = TypedDict(
    "NodeListView",
    {"nodes": list[NodeView], "count": Count, "continue": NotRequired[str], "resource_version": str},
)
"""Nodes, sorted by id. `continue` is there when more follow."""


class JoinTokenView(TypedDict):
    """A join token, without its secret."""

    id: str
    node: NotRequired[str]
    labels: dict[str, str]
    created_at: Time
    created_by: str
    expires_at: Time
    used_at: NotRequired[Time]
    used_by: NotRequired[str]


class NewJoinTokenView(JoinTokenView):
    """A join token that was just made."""

    token: str


class JoinTokenListView(TypedDict):
    """Join tokens, sorted by id."""

    join_tokens: list[JoinTokenView]
    count: Count


class NodeTokenView(TypedDict):
    """A token for one node."""

    token: str
    expires_at: Time


class JoinedView(NodeTokenView):
    """The node that has joined, and its token."""

    node: NodeView


class NodeStatusView(TypedDict):
    """How a node is."""

    node_id: str
    status: NodeStatusName
    last_seen: Time | None
    uptime: str
    conditions: list[ConditionView]


class WholeCommandView(TypedDict):
    """The command as it is stored, defaults filled in."""

    type: str
    action: str
    params: dict[str, Any]
    user: str


class CommandView(TypedDict):
    """A command and what became of it. `duration` and `finished` are absent until it ends."""

    id: str
    node_id: str
    command: WholeCommandView
    status: CommandStatusName
    output: str
    duration: NotRequired[str]
    finished: NotRequired[Time]
    error: NotRequired[str]
    message: NotRequired[str]
    exit_code: NotRequired[int]
    signal: NotRequired[int]
    reason: str
    created: Time | None
    started: NotRequired[Time]
    stdout: NotRequired[str]
    stderr: NotRequired[str]
    output_bytes: Count
    output_bytes_exact: bool
    truncated: bool
    transport: NotRequired[str]
    attempts: Count
    certainty: Literal["confirmed", "presumed", "unknown"]
    late: NotRequired[bool]
    cancel: NotRequired[bool]
    requested_by: str
    labels: NotRequired[dict[str, str]]
    metadata: NotRequired[dict[str, str]]
    resource_version: str


CommandListView = TypedDict(
    "CommandListView",
    {"commands": list[CommandView], "count": Count, "continue": NotRequired[str], "resource_version": str},
)
"""Commands, sorted by id."""


class ClaimedView(CommandView):
    """A command that was handed out, and the nonce that its report must carry."""

    nonce: str


class ClaimsView(TypedDict):
    """What an agent is to do, and what of that which it does it is to stop."""

    commands: list[ClaimedView]
    count: Count
    cancelled: list[str]


class PhaseView(TypedDict):
    """A phase of a command. `duration` is how long it lasted; absent for the one that it is in now, or ended in."""

    phase: Phase
    time: Time
    duration: NotRequired[str]
    reason: str
    message: str


class TimelineView(TypedDict):
    """What happened to a command so far. `duration` is from accepted to ended; absent until then."""

    id: str
    node_id: str
    status: CommandStatusName
    reason: str
    duration: NotRequired[str]
    phases: list[PhaseView]


class AcceptedView(TypedDict):
    """A reported result was taken."""

    id: str
    status: CommandStatusName


class ServicesView(TypedDict):
    """Services by node id; nodes without any are absent, `nodes` counts all."""

    services: dict[str, list[ServiceView]]
    nodes: Count


class ServiceNodesView(TypedDict):
    """The services of one name, by node id."""

    services: dict[str, list[ServiceView]]
    count: Count


class TargetGroup(TypedDict):
    """Targets of Prometheus' HTTP service discovery, and their labels."""

    targets: list[str]
    labels: dict[str, str]


class LogChunkView(TypedDict):
    """A piece of output: `data` when it is text, `base64` when it is not."""

    stream: Literal["stdout", "stderr"]
    offset: Count
    position: Count
    time: Time
    data: NotRequired[str]
    base64: NotRequired[str]
