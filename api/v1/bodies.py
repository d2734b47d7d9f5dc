"""What clients send to the document's API: strict models of the flat bodies.

Inside a body unknown fields are refused; at its top level they are ignored and named in a `Warning` header
(contract B-1). Numbers, times and texts are as strict and as bounded as in the resources they become.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from controller.admission.results import REPORTED
from controller.duration import HOUR, SECOND
from controller.resources.command import CommandParams, EnvName, SecretRef
from controller.resources.meta import MAX_ENTRIES, Annotations, Labels, check_size
from controller.resources.node import Capabilities, CredentialRef, TransportSpec
from controller.resources.service import Service, Services
from controller.resources.types import Integral, Line, Nanoseconds, Port, Text, Timestamp, lasting

MOST_JOIN_TIME = 30 * 24 * HOUR

NodeId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
CommandId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
ServiceId = CommandId


def _as_it_is(name: str) -> str:
    return name


_FLAT = ConfigDict(alias_generator=_as_it_is)
"""snake_case, as the document writes its fields."""


class Body(BaseModel):
    """Base of a body: what it does not know at its top level is kept aside, to be named in a warning."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    @property
    def unknown(self) -> tuple[str, ...]:
        """The names of fields that mean nothing here."""
        return tuple(self.__pydantic_extra__ or ())


class FlatTransport(TransportSpec):
    """How a node is reached, in snake_case."""

    model_config = _FLAT


class FlatSecretRef(SecretRef):
    """A value that is read from the credentials directory at delivery."""

    model_config = _FLAT
    credential_ref: CredentialRef


class FlatParams(CommandParams):
    """How a command runs, in snake_case. What is left out gets its default."""

    model_config = _FLAT
    env: dict[EnvName, Text | FlatSecretRef] = Field(default_factory=dict)  # type: ignore[assignment]
    """Variables for the command; a value may be `{"credential_ref": NAME}`."""


class FlatService(Service):
    """A service inside a map: its id is the key, and need not be repeated."""

    id: ServiceId | None = None  # type: ignore[assignment]


def _keys_are_ids(services: dict[str, FlatService]) -> dict[str, FlatService]:
    for key, service in services.items():
        if service.id not in {None, key}:
            raise ValueError(f"the service under {key} has another id")
    return services


CapabilityNames = Annotated[tuple[Text, ...], Field(max_length=MAX_ENTRIES)]
ServiceMap = Annotated[dict[ServiceId, FlatService], Field(max_length=MAX_ENTRIES), AfterValidator(_keys_are_ids)]


class NodeFacts(Body):
    """What a node may say of itself. A field left out stays as it is; null clears it."""

    name: Annotated[Line, Field(max_length=255)] | None = None
    """A name for people."""
    provider: Annotated[Line, Field(max_length=63)] | None = None
    """What kind of machine it is: docker, lxc, qemu, ssh, …"""
    address: Annotated[Line, Field(max_length=255)] | None = None
    """Host name or IP address."""
    port: Port | None = None
    """The port its transport connects to."""
    labels: Labels | None = None
    """For selecting, in Kubernetes' label syntax."""
    capabilities: Capabilities | CapabilityNames | None = None
    """What the node can do: a map, or a list of names; at most 256."""
    services: ServiceMap | Services | None = None
    """Services that run on it: a map by id, or a list; at most 256."""
    metadata: Annotated[Annotations, AfterValidator(check_size)] | None = None
    """Free-form notes: at most 256, and 256 KiB together."""


class NodeFields(NodeFacts):
    """What may be said of a node, by whoever may change it."""

    status: Literal["active", "inactive", "unreachable", "draining", "unknown"] | None = None
    """The intent: `active`, or `inactive` for cordoned. The others are observations and change nothing."""
    discovery: bool | None = None
    """Whether services are looked for on the node itself."""
    transport: FlatTransport | None = None
    """How it is reached."""
    transports: tuple[FlatTransport, ...] | None = None
    """The same, as a list in order of preference."""
    resource_version: str | None = None
    """The version that the change is meant for: another one is a conflict. POST ignores it."""
    created_at: Text | None = None
    """Read only: may be sent back as it was read."""
    updated_at: Any = None
    """Read only."""
    last_seen: Any = None
    """Read only."""
    conditions: Any = None
    """Read only."""
    uid: Any = None
    """Read only."""

    @model_validator(mode="after")
    def _one_transport(self) -> "NodeFields":
        if self.transport is not None and self.transports:
            raise ValueError("give either transport or transports, not both")
        return self


class NodeRegistration(NodeFields):
    """A node registers, or is registered."""

    id: NodeId
    """Unique; it never changes."""


class NodeChange(NodeFields):
    """A change of a node."""

    id: NodeId | None = None
    """May be repeated, never changed."""


class JoinTokenRequest(Body):
    """What a new join token is good for."""

    expires_in: Annotated[Nanoseconds, lasting(least=SECOND, most=MOST_JOIN_TIME)] = HOUR
    """For how long it can be used; at most 30 days."""
    node: NodeId | None = None
    """The only node that may use it: a new one of that name, or the one that is there, which is taken over."""
    labels: Labels = Field(default_factory=dict)
    """What the node gets, whatever it says itself."""


class JoinRequest(NodeFacts):
    """A machine joins as this node. Address, port, provider and labels count for a new node only."""

    id: NodeId
    """Unique; it never changes."""
    key: Annotated[Line, Field(min_length=16, max_length=255)] | None = None
    """Drawn at random by the joiner: with the same one it may repeat the request for ten minutes."""


class CommandRequest(Body):
    """A command for one node."""

    type: Text = "exec"
    """The kind of command; `exec` is the one there is."""
    action: Annotated[Text, Field(max_length=2 * 1024 * 1024)] = ""
    """A line for `sh`; optional with params.argv."""
    params: FlatParams = Field(default_factory=FlatParams)
    """How it runs."""
    user: Annotated[Text, Field(max_length=255)] = ""
    """An audit label: on whose behalf."""
    id: CommandId | None = None
    """The caller's own id: the same request under the same id is done once."""
    labels: Labels = Field(default_factory=dict)
    """For selecting."""
    metadata: Annotations = Field(default_factory=dict)
    """Free-form notes."""


class Heartbeat(Body):
    """A node says that it is there. `status` is taken note of and changes nothing."""

    status: Text | None = None
    services: ServiceMap | Services | None = None
    capabilities: Capabilities | CapabilityNames | None = None


class TrustRequest(Body):
    """What to trust of a node: a host key that its status shows, or another place for its credential."""

    fingerprint: Annotated[Text, Field(min_length=1, max_length=255)] | None = None
    """The fingerprint of the host key that it presented."""
    credential: bool = False
    """Use its credential where CredentialRebindRequired says that it was not used."""

    @model_validator(mode="after")
    def _something(self) -> "TrustRequest":
        if self.fingerprint is None and not self.credential:
            raise ValueError('give "fingerprint", or "credential": true')
        return self


class ClaimRequest(Body):
    """An agent that reports by itself asks for work."""

    limit: Annotated[int, Field(ge=1, le=100), Integral] = 1
    """How many commands it takes at most."""


class ResultReport(Body):
    """The document's result, from an agent that reports by itself."""

    id: CommandId
    node_id: NodeId
    status: Annotated[str, Field(json_schema_extra={"enum": sorted(REPORTED)})]
    output: Text = ""
    duration: Nanoseconds | None = None
    finished: Timestamp | None = None
    exit_code: Annotated[int, Field(ge=-(2**31), le=2**31 - 1), Integral] | None = None
    nonce: Annotated[Text, Field(max_length=255)] | None = None
    """What was handed out with the command; absent from an agent that was handed nothing."""

    @model_validator(mode="after")
    def _known_status(self) -> "ResultReport":
        if self.status not in REPORTED:
            raise ValueError(f"status must be one of {', '.join(sorted(REPORTED))}")
        return self
