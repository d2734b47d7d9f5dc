"""The settings: one model a section, each field with its documented default (contract A).

Loading (file, environment, flags, and errors that name file, line and the nearest key) is in `controller.config`, and
so is what concerns the start and not a single value: the published secrets are defaults here and refused there.
"""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from controller.duration import HOUR, MILLISECOND, MINUTE, SECOND
from controller.resources.types import Nanoseconds, Text

PUBLISHED_AUTH_TOKEN = "vendetta-coordination-token"  # noqa: S105 - the document's example, refused with auth on
PUBLISHED_JWT_SECRET = "vendetta-jwt-secret-key-minimum-16-chars"  # noqa: S105 - likewise
DENIED_NETWORKS = ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/128", "fe80::/10",
                   "ff00::/8", "fd00:ec2::254/128", "100.100.100.200/32")  # fmt: skip

_ORIGIN = re.compile(r"\*|https?://[^\s/?#@\\]+")


def _network(text: str) -> str:
    ip_network(text, strict=False)  # its ValueError says what is wrong
    return text


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not an origin: write `*` or scheme://host[:port]")
    return text


Positive = Annotated[Nanoseconds, Field(ge=MILLISECOND)]
Network = Annotated[Text, AfterValidator(_network)]
Origin = Annotated[Text, AfterValidator(_origin)]
Unit = Annotated[Text, Field(pattern=r"^[A-Za-z0-9*?][A-Za-z0-9._@:*?-]{0,127}$")]
SECRET = {"secret": True}
"""Marks a key whose value may hold a password although it is plain text: never shown, and read from `…_FILE` too."""


class Section(BaseModel):
    """Base of the sections: strict, frozen, unknown keys refused; snake_case as the document writes them."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class ServerSettings(Section):
    """Where the server listens, and its limits on a connection."""

    host: Text = "0.0.0.0"  # noqa: S104 - the documented default; auth off admits loopback only (E-6)
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 3001
    """Port; 0 takes a free one."""
    auth_token: SecretStr = SecretStr(PUBLISHED_AUTH_TOKEN)
    """Static administrator token; empty disables it."""
    read_timeout: Positive = 30 * SECOND
    """Limit for reading a request's headers and body."""
    write_timeout: Positive = 30 * SECOND
    """Limit for producing a response; streams are exempt."""
    idle_timeout: Positive = 120 * SECOND
    """How long an idle keep-alive connection stays open."""
    role: Literal["all", "api", "controller"] = "all"
    """all | api | controller; on postgres, some servers may only answer requests, and others only work on nodes."""
    trusted_proxies: tuple[Network, ...] = ()
    """Addresses or networks whose X-Forwarded-* headers are believed."""


class RegistrySettings(Section):
    """Where the state lives, and how nodes are watched."""

    provider: Literal["memory", "sqlite", "postgres"] = "memory"
    """memory | sqlite | postgres."""
    dsn: Annotated[Text | None, Field(repr=False, json_schema_extra=SECRET)] = None
    """sqlite: a file's path, vendetta.db by default; postgres: a URL."""
    sync_interval: Positive = 30 * SECOND
    """Full resync of every object."""
    health_check_interval: Positive = 10 * SECOND
    """Probe period for each node, jittered by 10 %."""
    node_timeout: Positive = 60 * SECOND
    """A node without contact for so long is unreachable."""
    lease_duration: Annotated[Nanoseconds, Field(ge=SECOND)] = 15 * SECOND
    """postgres: the others take over from a server that has given no sign of life for so long."""
    max_retries: Annotated[int, Field(ge=1, le=100)] = 3
    """Attempts within one reconcile, before the start point only."""


class WebsocketSettings(Section):
    """The event stream: SSE and WebSocket."""

    enabled: bool = True
    """False: the path answers 404."""
    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]*$")] = "/ws"
    """Where it is."""
    origins: tuple[Origin, ...] = ("*",)
    """Origins that browsers may come from; with auth off `*` means the same origin."""
    ping_period: Positive = 30 * SECOND
    """Heartbeat period."""


class AuthSettings(Section):
    """Who may call."""

    enabled: bool = False
    """Off: only callers over the loopback address get in."""
    jwt_secret: SecretStr = SecretStr(PUBLISHED_JWT_SECRET)
    """Signs tokens; at least 16 characters, 32 bytes are better."""
    token_expiry: Positive = 24 * HOUR
    """Lifetime of a token."""
    node_token_expiry: Positive = 7 * 24 * HOUR
    """Lifetime of the token that a node gets when it joins, and each time it renews it."""
    allow_insecure_remote: bool = False
    """With auth off, admit callers from other machines too. Anybody who reaches the port then owns the fleet."""


class LoggingSettings(Section):
    """What is logged, how and where."""

    level: Literal["debug", "info", "warn", "warning", "error"] = "info"
    """debug | info | warn | error."""
    format: Literal["json", "text"] = "json"
    """json | text."""
    output: Text = "stdout"
    """stdout | stderr | a file's path."""
    max_size: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Megabytes of a log file before it is rotated."""
    max_backups: Annotated[int, Field(ge=0, le=10_000)] = 3
    """Rotated files kept."""
    max_age: Annotated[int, Field(ge=0, le=36_500)] = 28
    """Days a rotated file is kept."""


class SSHSettings(Section):
    """Defaults of the ssh transport."""

    default_user: Text | None = None
    """Login where the node names none; default: the server's own user."""
    default_credential: Text | None = None
    """Credential (a key) where the node names none."""
    host_key_policy: Literal["strict", "accept-new", "insecure"] = "accept-new"
    """Where the node names none."""
    keepalive_interval: Positive = 15 * SECOND
    """Keepalive period; three unanswered ones end the connection."""
    base_dir: Text = ".vendetta"
    """Folder on the node for the run protocol, relative to the login's home."""
    max_channels: Annotated[int, Field(ge=1, le=1000)] = 8
    """Channels opened at once on one connection."""


class HTTPSettings(Section):
    """Defaults of the http transport."""

    default_credential: Text | None = None
    """Credential (a token, or a client certificate) where the node names none."""


class TransportSettings(Section):
    """How nodes are reached."""

    credentials_dir: Path = Path("credentials")
    """Folder with keys and passwords, one file (or folder) a credential."""
    known_hosts: Path | None = None
    """An OpenSSH known_hosts file whose keys are trusted."""
    deny_cidrs: tuple[Network, ...] = DENIED_NETWORKS
    """Networks that are never connected to."""
    connect_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 32
    """Connections set up at the same time, and as many again to nodes that failed before."""
    ssh: SSHSettings = SSHSettings()
    """Defaults of the ssh transport."""
    http: HTTPSettings = HTTPSettings()
    """Defaults of the http transport."""


class ControllerSettings(Section):
    """The reconcile loops."""

    workers: Annotated[int, Field(ge=1, le=1024)] = 64
    """Reconciles at the same time, for each kind; those that wait for a node that hangs do not count."""
    node_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Commands running at the same time on one node."""
    freeze_threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of reachable nodes (of five or more) that must go unreachable together to freeze deliveries."""


class ServiceSettings(Section):
    """Checking the services of the nodes, and finding them."""

    discovery: bool = False
    """Look for services on every node that does not say otherwise."""
    discovery_interval: Annotated[Nanoseconds, Field(ge=SECOND)] = MINUTE
    """How often each of those nodes is looked at."""
    discovery_units: tuple[Unit, ...] = ()
    """Patterns of systemd units that are services, such as `nginx.service` or `app-*`."""

    check_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Checks under way at the same time."""


class OutputSettings(Section):
    """Command output."""

    max_bytes: Annotated[int, Field(ge=65_536, le=1 << 40)] = 64 * 1024 * 1024
    """Bytes kept of each stream, from the head; then the last 64 KiB."""


class RetentionSettings(Section):
    """How long things are kept."""

    commands: Positive = 7 * 24 * HOUR
    """Finished commands are removed after this time …"""
    max_commands: Annotated[int, Field(ge=0)] = 10_000
    """… or when there are more finished ones than this (0: no such limit) …"""
    max_output_bytes: Annotated[int, Field(ge=0, le=1 << 50)] = 10 * 1024**3
    """… or when those that ended after them have more output than this (0: no such limit)."""
    reserved_ids: Positive = 7 * 24 * HOUR
    """Ids of removed commands stay taken for this time."""
    events: Positive = HOUR
    """History that streams and watches can resume from …"""
    max_events: Annotated[int, Field(ge=100)] = 100_000
    """… and at most so many changes of it."""


class SourcesSettings(Section):
    """Where wishes come from besides the API."""

    manifests: Path | None = None
    """A folder of manifests: the nodes in it are made so, and those that leave it are removed."""
    poll_interval: Positive = SECOND
    """How often the folder is looked at; a change counts once it is the same at two looks."""


class MetricsSettings(Section):
    """The metrics endpoints."""

    public: bool = False
    """With auth on, let anybody read /metrics."""


class Settings(Section):
    """Everything that the server can be told."""

    server: ServerSettings = ServerSettings()
    registry: RegistrySettings = RegistrySettings()
    websocket: WebsocketSettings = WebsocketSettings()
    auth: AuthSettings = AuthSettings()
    logging: LoggingSettings = LoggingSettings()
    transports: TransportSettings = TransportSettings()
    controller: ControllerSettings = ControllerSettings()
    services: ServiceSettings = ServiceSettings()
    output: OutputSettings = OutputSettings()
    retention: RetentionSettings = RetentionSettings()
    sources: SourcesSettings = SourcesSettings()
    metrics: MetricsSettings = MetricsSettings()
