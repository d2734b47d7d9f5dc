"""What may be reported: an Event's fields. What is not among them is dropped, as Kubernetes drops it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.errors import bad_request
from api.kube.events.shape import CORE, renamed
from api.kube.events.told import NAMESPACE
from controller.resources.types import Integral, Text

_Word = Annotated[Text, Field(max_length=253)]
_Count = Annotated[int, Field(ge=0, le=2**31 - 1), Integral]
_Stamp = Annotated[Text, Field(max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)


class _Metadata(_Part):
    name: Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9._-]*$")] = ""
    generateName: Annotated[str, Field(max_length=236, pattern=r"^[A-Za-z0-9._-]*$")] = ""  # noqa: N815
    namespace: _Word = ""


class _Reference(_Part):
    apiVersion: _Word | None = None  # noqa: N815
    kind: _Word | None = None
    name: _Word | None = None
    namespace: _Word | None = None
    uid: _Word | None = None
    resourceVersion: _Word | None = None  # noqa: N815
    fieldPath: _Word | None = None  # noqa: N815


class _Source(_Part):
    component: _Word | None = None
    host: _Word | None = None


class _Series(_Part):
    count: _Count | None = None
    lastObservedTime: _Stamp | None = None  # noqa: N815


class ReportedEvent(_Part):
    """An event of core/v1, as somebody reports it."""

    metadata: _Metadata
    involvedObject: _Reference  # noqa: N815
    reason: Annotated[Text, Field(max_length=128)] = ""
    message: Annotated[Text, Field(max_length=1024)] = ""
    type: Literal["Normal", "Warning", ""] = ""
    action: Annotated[Text, Field(max_length=128)] | None = None
    count: _Count | None = None
    source: _Source | None = None
    firstTimestamp: _Stamp | None = None  # noqa: N815
    lastTimestamp: _Stamp | None = None  # noqa: N815
    eventTime: _Stamp | None = None  # noqa: N815
    reportingComponent: _Word | None = None  # noqa: N815
    reportingInstance: _Word | None = None  # noqa: N815
    related: _Reference | None = None
    series: _Series | None = None


def checked(core: dict[str, Any]) -> ReportedEvent:
    """An event of core/v1. Raises ValidationError, and APIError (400) for another namespace."""
    event = ReportedEvent.model_validate(core)
    if event.metadata.namespace not in {"", NAMESPACE}:
        raise bad_request(f"events are kept in the namespace {NAMESPACE}")
    return event


def data_of(event: ReportedEvent) -> dict[str, Any]:
    """What is stored of it."""
    return event.model_dump(exclude={"metadata"}, exclude_none=True)


def schema_of(version: str) -> dict[str, Any]:
    """The JSON schema of a body of that version."""
    schema = ReportedEvent.model_json_schema()
    definitions = schema.pop("$defs")
    schema = dict(_inlined(schema, definitions))
    schema["properties"]["metadata"]["properties"]["namespace"] = {"enum": ["", NAMESPACE]}
    if version != CORE:
        schema["properties"] = renamed(schema["properties"])
        schema["required"] = list(renamed(dict.fromkeys(schema["required"])))
    return schema


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items() if not _is_title(key, value)}


def _is_title(key: str, value: Any) -> bool:
    return key == "title" and isinstance(value, str)
