"""Node: a machine that commands run on."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from controller.resources.conditions import Condition
from controller.resources.meta import MAX_ENTRIES, ObjectMeta, Resource, check_size
from controller.resources.service import Services, ServiceStatus
from controller.resources.types import Line, Model, Name, Nanoseconds, Port, Scalar, Text, Timestamp

NodePhase = Literal["active", "inactive", "unreachable", "draining", "unknown"]

READY, REACHABLE, HOST_KEY_TRUSTED = "Ready", "Reachable", "HostKeyTrusted"
CREDENTIAL_REBIND_REQUIRED = "CredentialRebindRequired"
NODE_CONDITIONS = frozenset({READY, REACHABLE, HOST_KEY_TRUSTED, CREDENTIAL_REBIND_REQUIRED})
"""The types that the controller writes itself."""


MOST_WAYS = 64
"""Transports of a node, and host keys of a transport."""


def _path_component(ref: str) -> str:
    if ref in {".", ".."} or "/" in ref or "\x00" in ref:
        raise ValueError("a credentialRef is the name of one file in the credentials directory, not a path")
    return ref


CredentialRef = Annotated[
    str,
    Field(min_length=1, max_length=255, json_schema_extra={"pattern": r"^(?!\.{1,2}$)[^/\u0000]+$"}),
    AfterValidator(_path_component),
]


class TransportSpec(Model):
    """How the node is reached (contract B-2)."""

    type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    """`ssh`, `http`, `websocket`, or the name of a plugin."""
    user: Annotated[Line, Field(max_length=255)] | None = None
    """The login on the node."""
    address: Annotated[Line, Field(max_length=255)] | None = None
    """Where this transport connects, when it is not the node's address."""
    port: Port | None = None
    """The port this transport connects to, when it is not the node's port."""
    credential_ref: CredentialRef | None = None
    """A file (or folder) in the server's credentials directory."""
    host_key_policy: Literal["strict", "accept-new", "insecure"] | None = None
    """What to do with the host key presented: the default is accept-new."""
    host_keys: Annotated[tuple[Text, ...], Field(max_length=MOST_WAYS)] = ()
    """Trusted host keys, as OpenSSH public key lines."""
    jump: Name | None = None
    """Another node to go through."""
    connect_timeout: Nanoseconds | None = None
    """The limit for connecting and logging in; default 10s."""
    tls: bool | None = None
    """Whether the http transport speaks TLS: by default it does, except to loopback addresses."""
    insecure: bool = False
    """Permit an http transport without verified TLS off loopback."""


Capabilities = Annotated[dict[Text, Scalar], Field(max_length=MAX_ENTRIES)]


class NodeSpec(Model):
    """What somebody wants to be true of a node."""

    display_name: Annotated[Line, Field(max_length=255)] = ""
    """A name for people."""
    provider: Annotated[Line, Field(max_length=63)] = ""
    """What kind of machine it is: docker, lxc, qemu, ssh, …"""
    address: Annotated[Line, Field(max_length=255)] = ""
    """Host name or IP address."""
    port: Port | None = None
    """The port its transport connects to."""
    unschedulable: bool = False
    """Cordoned: nothing new is delivered."""
    capabilities: Capabilities = Field(default_factory=dict)
    """What the node can do; at most 256 entries."""
    services: Services = ()
    """Services that are known to run on it; at most 256."""
    discovery: bool | None = None
    """Whether services are looked for on the node itself; without a word, as the server is configured."""
    transport: TransportSpec | None = None
    """How it is reached."""
    transports: Annotated[tuple[TransportSpec, ...], Field(max_length=MOST_WAYS)] = ()
    """The same, as a list in order of preference."""

    @model_validator(mode="after")
    def _one_form(self) -> "NodeSpec":
        if self.transport is not None and self.transports:
            raise ValueError("give either transport or transports, not both")
        return self


class HostKey(Model):
    """A host key that the node presented, and whether it is trusted."""

    key: Text
    fingerprint: str
    trusted: bool
    first_seen: Timestamp | None = None


class CredentialBinding(Model):
    """A place where a credential has been used for the node, and may be used again (contract B-2).

    `host_key` is empty where none is known yet, where none counts (hostKeyPolicy insecure), and where an authority
    vouches for it.
    """

    credential: str
    place: str
    """`address:port`, and the node that it is reached through, if any."""
    host_key: Text = ""
    since: Timestamp


class RefusedBinding(Model):
    """A place where a credential was about to be used, and waits for somebody to confirm it."""

    credential: str
    place: str
    host_key: Text = ""


class NodeStatus(Model):
    """What is observed of a node."""

    phase: NodePhase = "unknown"
    """The effective status (contract B-3)."""
    last_seen: Timestamp | None = None
    """Last contact; written with other changes or once in a while, the API shows the live value."""
    active_since: Timestamp | None = None
    """Since when it has been active without a break."""
    updated_at: Timestamp | None = None
    """When its registration was last written."""
    observed_generation: int = 0
    """The generation that the controller acted on."""
    facts: dict[str, str] = Field(default_factory=dict)
    """What the node says about itself."""
    host_keys: tuple[HostKey, ...] = ()
    """Host keys seen."""
    credentials: tuple[CredentialBinding, ...] = ()
    """Where credentials have been used for this node."""
    credential_refused: RefusedBinding | None = None
    """Where one was about to be used that is bound to another place."""
    tokens_revoked_at: Timestamp | None = None
    """Tokens of this node that were issued until then no longer count."""
    services: tuple[ServiceStatus, ...] = ()
    """How its services are, declared and found ones; at a change, the API shows the live values."""
    conditions: tuple[Condition, ...] = ()
    """Ready, Reachable, HostKeyTrusted, CredentialRebindRequired."""


def _bounded(meta: ObjectMeta) -> ObjectMeta:
    check_size(meta.annotations)
    return meta


class Node(Resource):
    """A machine that commands run on. Its annotations hold at most 256 KiB together."""

    kind: Literal["Node"] = "Node"
    """What it is."""
    metadata: Annotated[ObjectMeta, AfterValidator(_bounded)] = Field(default_factory=ObjectMeta)
    """What identifies it and orders its versions."""
    spec: NodeSpec = Field(default_factory=NodeSpec)
    """What somebody wants to be true."""
    status: NodeStatus = Field(default_factory=NodeStatus)
    """What is observed."""


def is_active(node: Node) -> bool:
    """Whether work is delivered to the node, and what it says counts."""
    return node.status.phase == "active" and not node.spec.unschedulable


def names_transport(node: Node) -> bool:
    """Whether the node says itself how it is reached."""
    return node.spec.transport is not None or bool(node.spec.transports)


def transports_of(node: Node) -> tuple[TransportSpec, ...]:
    """How this node is reached, in order of preference; the default where it does not say (contract B-2)."""
    if node.spec.transports:
        return node.spec.transports
    if node.spec.transport is not None:
        return (node.spec.transport,)
    if node.spec.port == 22 or node.spec.provider == "ssh":
        return (TransportSpec(type="ssh"),)
    return (TransportSpec(type="http"),)


DEFAULT_PORTS = {"ssh": 22}


def address_of(node: Node, transport: TransportSpec) -> tuple[str, int]:
    """Where a transport connects: its own address and port, else the node's, else the default port of its type."""
    port = transport.port or node.spec.port or DEFAULT_PORTS.get(transport.type, 80)
    return transport.address or node.spec.address, port


def places_of(node: Node) -> tuple[str, ...]:
    """All places that the node's spec names: `address:port`, and the node that each is reached through, if any."""
    return tuple(
        "{}:{}".format(*address_of(node, t)) + (f" through {t.jump}" if t.jump is not None else "")
        for t in transports_of(node)
    )
