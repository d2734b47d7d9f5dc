"""Services: what runs on a node and can be found there, how it is checked, and how it is (contract D)."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from controller.duration import HOUR, MILLISECOND, SECOND
from controller.resources.meta import MAX_ENTRIES
from controller.resources.types import Integral, Model, Name, Nanoseconds, Port, Text, Timestamp, lasting

DEFAULT_INTERVAL = 10 * SECOND
DEFAULT_TIMEOUT = 5 * SECOND

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_FRAMING = frozenset({"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"})
_SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError("a header has a name that HTTP does not allow")
        if name.lower() in _FRAMING:
            raise ValueError(f"the header {name} belongs to the connection and cannot be set")
        if name.lower() in _SECRET:
            raise ValueError(f"the header {name} would keep a secret where everybody reads it: check another path")
    return headers


def _whatever_case(name: str) -> str:
    return "".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in name)


_REFUSED = "|".join(map(_whatever_case, sorted(_FRAMING | _SECRET)))
_HEADER_NAMES = {"propertyNames": {"pattern": f"^(?!(?:{_REFUSED})$){_HEADER_NAME.pattern}$"}}

HeaderValue = Annotated[str, Field(max_length=1024, pattern=r"^[ -~]*$")]
Headers = Annotated[
    dict[str, HeaderValue], Field(max_length=16, json_schema_extra=_HEADER_NAMES), AfterValidator(_headers)
]
Argument = Annotated[Text, Field(max_length=4096)]


def _duration(pattern: str, example: str) -> WithJsonSchema:
    """How such a duration is best written; everything that Go reads is accepted within its bounds."""
    schema = {"type": "string", "format": "go-duration", "pattern": pattern, "examples": [example]}
    return WithJsonSchema(schema, mode="validation")


Interval = Annotated[
    Nanoseconds,
    lasting(least=SECOND, most=100 * HOUR),
    _duration("^(?:[1-9][0-9]?h|[1-9][0-9]{0,2}m|[1-9][0-9]{0,3}s)$", "10s"),
]
Timeout = Annotated[
    Nanoseconds,
    lasting(least=100 * MILLISECOND, most=1000 * SECOND),
    _duration("^(?:[1-9][0-9]{0,2}s|[1-9][0-9]{2,4}ms)$", "5s"),
]


class HTTPCheck(Model):
    """A check by an HTTP request, whose status alone counts."""

    path: Annotated[str, Field(max_length=1024, pattern=r"^/[!-~]*$")] = "/"
    """What is asked for."""
    status: Annotated[tuple[Annotated[int, Field(ge=100, le=599), Integral], ...], Field(max_length=64)] = ()
    """The statuses that are good; by default 200 to 299. Redirects are not followed."""
    headers: Headers = Field(default_factory=dict)
    """Headers of the request. They are no place for secrets."""
    tls: bool | None = None
    """Whether it is HTTPS; by default as the service's endpoint says."""
    insecure: bool = False
    """Do not verify the certificate."""


class Check(Model):
    """How the controller finds out whether a service works (contract D-2). Exactly one of http, tcp and exec."""

    http: HTTPCheck | None = None
    """By an HTTP request."""
    tcp: bool | None = None
    """By connecting to its port."""
    exec: Annotated[tuple[Argument, ...], Field(min_length=1, max_length=64)] | None = None
    """By a program on the node: exit code 0 is good."""
    interval: Interval | None = None
    """How often; default 10s."""
    timeout: Timeout | None = None
    """How long it may take; default 5s, never more than the interval."""
    rise: Annotated[int, Field(ge=1, le=10), Integral] = 1
    """So many good ones in a row make a service that failed run again."""
    fall: Annotated[int, Field(ge=1, le=10), Integral] = 2
    """So many bad ones in a row make it failed; before that it is degraded."""
    via: Literal["auto", "controller", "node"] = "auto"
    """From where: auto is from the controller, or from the node where the address is none that leads there."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Check":
        if sum((self.http is not None, bool(self.tcp), self.exec is not None)) != 1:
            raise ValueError("a check has exactly one of http, tcp and exec")
        if self.exec is not None and self.via == "controller":
            raise ValueError("an exec check runs on the node")
        return self

    @property
    def kind(self) -> str:
        """http, tcp or exec."""
        return "http" if self.http is not None else "exec" if self.exec is not None else "tcp"

    @property
    def period(self) -> float:
        """Seconds from one check to the next."""
        return (self.interval or DEFAULT_INTERVAL) / SECOND

    @property
    def limit(self) -> float:
        """Seconds that one may take."""
        return min(self.period, (self.timeout or DEFAULT_TIMEOUT) / SECOND)


class Service(Model):
    """Something that runs on a node and can be found there."""

    id: Name
    name: Text = ""
    type: Text = ""
    status: Text = ""
    port: Port | None = None
    endpoint: Text | None = None
    metadata: dict[Text, Text] = Field(default_factory=dict)
    check: Check | None = None


def _unique_services(services: tuple[Service, ...]) -> tuple[Service, ...]:
    ids = [s.id for s in services]
    if len(set(ids)) != len(ids):
        raise ValueError("two services have the same id")
    return services


Services = Annotated[tuple[Service, ...], Field(max_length=MAX_ENTRIES), AfterValidator(_unique_services)]

Source = Literal["declared", "socket", "container", "systemd"]


class ServiceStatus(Model):
    """How a service is."""

    id: Name
    """The service's id."""
    source: Source = "declared"
    """Who says that it is there: whoever declared it, or what was looked at on the node."""
    name: Text = ""
    """Its name, of one that was found."""
    type: Text = ""
    """Its type, of one that was found."""
    port: Port | None = None
    """Its port, of one that was found."""
    status: Text = "unknown"
    """running, degraded, failed or unknown; without a check what was reported."""
    stale: bool = False
    """Whether that is not known to hold any more."""
    message: Text = ""
    """What the last check says."""
    since: Timestamp | None = None
    """Since when it has this status."""
    last_check: Timestamp | None = None
    """When it was last checked or seen, as of the last change."""
    latency: Nanoseconds | None = None
    """How long the last check took, as of the last change."""
