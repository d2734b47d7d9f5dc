"""Metadata that every resource carries, after the Kubernetes API conventions."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from controller.resources.types import Integral, Model, Text, Timestamp

GROUP = "vendetta.dev"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"
LAST_APPLIED = f"{GROUP}/last-applied-configuration"

MAX_ENTRIES = 256
"""How many labels, annotations, capabilities and services an object may have, of each."""
_MAX_ANNOTATIONS = 256 * 1024

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL_NAME = re.compile(_NAME)
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PREFIX = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")


def _qualified_name(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if (slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix))) or not _LABEL_NAME.fullmatch(name):
        raise ValueError(f"{key[:80]!r} is not a valid label key (Kubernetes' syntax: [prefix/]name)")
    return key


def label_value(value: str) -> str:
    """Return it. Raises ValueError unless it has the form of a label's value."""
    if value and not _LABEL_NAME.fullmatch(value):
        raise ValueError(
            f"{value[:80]!r} is not a valid label value: at most 63 of [A-Za-z0-9._-], alphanumeric at both ends"
        )
    return value


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for key, value in labels.items():
        _qualified_name(key)
        label_value(value)
    return labels


_LABELS_SCHEMA = {
    "type": "object",
    "propertyNames": {"pattern": rf"^(?:{_DNS_LABEL}(?:\.{_DNS_LABEL})*/)?{_NAME}$", "maxLength": 317},
    "additionalProperties": {"type": "string", "pattern": rf"^(?:{_NAME})?$"},
    "maxProperties": MAX_ENTRIES,
}

Labels = Annotated[
    dict[str, str], Field(max_length=MAX_ENTRIES), AfterValidator(_labels), WithJsonSchema(_LABELS_SCHEMA)
]
"""String to string, in Kubernetes' label syntax; at most 256 of them."""

Annotations = Annotated[dict[Text, Text], Field(max_length=MAX_ENTRIES)]
"""Free-form notes; at most 256 of them. A node's hold at most 256 KiB together (see `check_size`)."""


def check_size(annotations: dict[str, str]) -> dict[str, str]:
    """Return them. Raises ValueError if keys and values together are larger than 256 KiB, as in Kubernetes."""
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
        raise ValueError("annotations are larger than 256 KiB together")
    return annotations


class OwnerReference(Model):
    """Who this object belongs to: it is collected when its owner is gone."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Model):
    """What identifies an object and orders its versions. The server sets uid, times, generation and version."""

    name: str = ""
    """Unique for its kind."""
    generate_name: str | None = None
    """A prefix, used only when name is empty."""
    uid: str = ""
    """Unique over all time."""
    labels: Labels = Field(default_factory=dict)
    """For selecting."""
    annotations: Annotations = Field(default_factory=dict)
    """Free-form notes, not for selecting."""
    generation: Annotated[int, Field(ge=0, le=2**63 - 1), Integral] = 0
    """Counts changes of the spec."""
    resource_version: str = ""
    """An opaque version of the object, for optimistic locking and watches."""
    creation_timestamp: Timestamp | None = None
    """When the server first stored it."""
    deletion_timestamp: Timestamp | None = None
    """When its deletion was asked for."""
    finalizers: Annotated[tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=MAX_ENTRIES)] = ()
    """Who must act before it is gone."""
    owner_references: Annotated[tuple[OwnerReference, ...], Field(max_length=MAX_ENTRIES)] = ()
    """Who it belongs to."""
    managed_fields: tuple[dict[str, Any], ...] = ()
    """Which manager owns which field."""


class Resource(Model):
    """Anything with a kind, metadata, a spec (the wish) and a status (the observation)."""

    api_version: str = API_VERSION
    """The group and version of this form of the object."""
    kind: str = ""
    """What it is."""
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    """What identifies it and orders its versions."""

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name

    @property
    def uid(self) -> str:
        """The object's uid."""
        return self.metadata.uid
