"""The flat JSON of the document, and the resources behind it: one module translates both ways, without loss (F-2).

node_view, command_view, service_view      resource → what a client reads
node_change                                what a client sent → a change of the node's wish
command_spec                               what a client sent → the command to store
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import BaseModel

from api.v1.bodies import CommandRequest, FlatService, FlatTransport, NodeFacts, NodeFields, ResultReport
from api.v1.views import (
    CommandView,
    ConditionView,
    HostKeyView,
    JoinTokenView,
    NodeStatusName,
    NodeStatusView,
    NodeView,
    ServiceView,
    WholeCommandView,
)
from controller.admission.results import Report
from controller.duration import SECOND, format_duration
from controller.resources.command import Command, CommandParams, CommandSpec, SecretRef
from controller.resources.conditions import Condition
from controller.resources.jointoken import JoinToken
from controller.resources.node import HostKey, Node, TransportSpec
from controller.resources.service import Service, ServiceStatus
from controller.resources.types import Scalar, rfc3339

_EPOCH = datetime.fromtimestamp(0, UTC)
CORDONED = ("inactive", "draining")


def time_view(at: datetime | None) -> str | None:
    """RFC 3339 with `Z`, or null."""
    return None if at is None else rfc3339(at)


def status_of(node: Node) -> NodeStatusName:
    """The effective status: what was observed, except where the intent has changed since (B-3)."""
    phase = node.status.phase
    if node.spec.unschedulable:
        return phase if phase in CORDONED else "inactive"
    return "unknown" if phase in CORDONED else phase


def node_view(node: Node, last_seen: datetime | None) -> NodeView:
    """A node as the document shows it; `last_seen` is the live value."""
    meta, spec = node.metadata, node.spec
    view: NodeView = {
        "id": meta.name,
        "name": spec.display_name,
        "provider": spec.provider,
        "status": status_of(node),
        "address": spec.address,
        "port": spec.port,
        "labels": meta.labels,
        "capabilities": dict(spec.capabilities),
        "services": {s.id: service_view(s, _status_of_service(node, s)) for s in spec.services},
        "metadata": meta.annotations,
        "conditions": condition_views(node.status.conditions),
        "last_seen": time_view(last_seen),
        "created_at": time_view(meta.creation_timestamp),
        "updated_at": time_view(node.status.updated_at or meta.creation_timestamp),
        "uid": meta.uid,
        "resource_version": meta.resource_version,
    }
    if spec.discovery is not None:
        view["discovery"] = spec.discovery
    if spec.transport is not None:
        view["transport"] = _transport_view(spec.transport)
    if spec.transports:
        view["transports"] = [_transport_view(t) for t in spec.transports]
    if node.status.host_keys:
        view["host_keys"] = [_host_key_view(k) for k in node.status.host_keys]
    return view


def node_status_view(node: Node, last_seen: datetime | None, now: datetime) -> NodeStatusView:
    """How a node is; `uptime` is the time it has been active without a break, in whole seconds (B-5)."""
    since, status = node.status.active_since, status_of(node)
    up = 0 if since is None or status != "active" else max(0, int((now - since).total_seconds()))
    return {
        "node_id": node.name,
        "status": status,
        "last_seen": time_view(last_seen),
        "uptime": format_duration(up * SECOND),
        "conditions": condition_views(node.status.conditions),
    }


def condition_views(conditions: Iterable[Condition]) -> list[ConditionView]:
    """Conditions in snake_case."""
    return [
        {
            "type": c.type,
            "status": c.status,
            "reason": c.reason,
            "message": c.message,
            "last_transition_time": rfc3339(c.last_transition_time),
        }
        for c in conditions
    ]


def declared_services(node: Node) -> dict[str, ServiceView]:
    """The services as they were declared, with the status that was reported."""
    return {s.id: service_view(s, s.status) for s in node.spec.services}


def _status_of_service(node: Node, service: Service) -> str:
    """How a service is, as far as it is stored: never better than its node."""
    if status_of(node) != "active":
        return "unknown"
    if service.check is None:
        return service.status or "unknown"
    return next((s.status for s in node.status.services if s.id == service.id), "unknown")


def service_view(service: Service, status: str) -> ServiceView:
    """A service; what it lacks of the extensions is left out."""
    view: ServiceView = {
        "id": service.id,
        "name": service.name,
        "type": service.type,
        "status": status,
        "port": service.port,
        "endpoint": service.endpoint,
    }
    if service.metadata:
        view["metadata"] = service.metadata
    if service.check is not None:
        view["check"] = service.check.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return view


def service_status_view(status: ServiceStatus) -> dict[str, Any]:
    """How a service is, in events."""
    return status.model_dump(mode="json", by_alias=False, exclude_defaults=True) | {
        "status": status.status,
        "source": status.source,
    }


def join_token_view(token: JoinToken) -> JoinTokenView:
    """A join token without its secret."""
    spec, used = token.spec, token.status.used
    view: JoinTokenView = {
        "id": token.name,
        "labels": spec.labels,
        "created_at": rfc3339(spec.made_at),
        "created_by": spec.made_by,
        "expires_at": rfc3339(spec.expires),
    }
    if spec.node is not None:
        view["node"] = spec.node
    if used is not None:
        view |= {"used_at": rfc3339(used.at), "used_by": used.node}
    return view


def command_view(command: Command) -> CommandView:
    """A command and its result as the document shows them (C-6)."""
    meta, status = command.metadata, command.status
    view: CommandView = {
        "id": meta.name,
        "node_id": command.spec.node,
        "command": _whole(command.spec),
        "status": status.phase,
        "output": one_newline_less(status.output or ""),
        "reason": status.reason,
        "created": time_view(meta.creation_timestamp),
        "output_bytes": status.output_bytes,
        "output_bytes_exact": status.output_bytes_exact,
        "truncated": status.truncated,
        "attempts": status.attempts,
        "certainty": status.certainty,
        "requested_by": status.requested_by,
        "resource_version": meta.resource_version,
    }
    view |= cast("CommandView", _facts(command))
    if command.ended:
        view["duration"] = format_duration(status.duration or 0)
        view["finished"] = rfc3339(status.finished or status.started or meta.creation_timestamp or _EPOCH)
        if status.phase != "success" and status.message:
            view["error"] = status.message
    return view


def _facts(command: Command) -> dict[str, Any]:
    """What is there only sometimes."""
    status = command.status
    facts = {
        "message": status.message or None,
        "exit_code": status.exit_code,
        "signal": status.signal,
        "started": time_view(status.started),
        "stdout": status.stdout,
        "stderr": status.stderr,
        "transport": status.transport,
        "late": status.late or None,
        "cancel": command.spec.cancel or None,
        "labels": command.metadata.labels or None,
        "metadata": command.metadata.annotations or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def one_newline_less(output: str) -> str:
    """The output less exactly one trailing newline."""
    return output[:-1] if output.endswith("\n") else output


def node_change(body: NodeFacts) -> Callable[[Node], Node]:
    """The change that a body asks for: a field that was given replaces, null clears, the rest stays (B-6)."""
    given = body.model_fields_set & type(body).model_fields.keys()  # what this body does not know counts as set, too
    spec: dict[str, Any] = {
        to: convert(getattr(body, name)) for name, (to, convert) in _SPEC.items() if name in given
    }
    if isinstance(body, NodeFields):
        spec |= _decided(body)
    meta = {to: dict(getattr(body, name) or {}) for name, to in _META.items() if name in given}

    def change(node: Node) -> Node:
        return node.model_copy(
            update={
                "spec": node.spec.model_copy(update=spec),
                "metadata": node.metadata.model_copy(update=meta),
            }
        )

    return change


def _decided(body: NodeFields) -> dict[str, Any]:
    """What follows from the fields that no node may say of itself."""
    spec: dict[str, Any] = {}
    if body.transport is not None:
        spec["transports"] = ()
    elif body.transports:
        spec["transport"] = None
    if body.status in {"active", "inactive"}:
        spec["unschedulable"] = body.status == "inactive"
    return spec


def capabilities_of(given: dict[str, Scalar] | tuple[str, ...] | None) -> dict[str, Scalar]:
    """A map; a list of names means that it has them."""
    return dict(given) if isinstance(given, dict) else dict.fromkeys(given or (), True)


def services_of(given: dict[str, FlatService] | tuple[Service, ...] | None) -> tuple[Service, ...]:
    """A list; in a map the key is the id."""
    if isinstance(given, dict):
        return tuple(Service(**{**_fields(service), "id": key}) for key, service in given.items())
    return given or ()


def command_spec(node: str, body: CommandRequest) -> CommandSpec:
    """The command that a body asks for, defaults filled in."""
    params = _fields(body.params)
    params["env"] = {
        name: SecretRef(credential_ref=value.credential_ref) if isinstance(value, SecretRef) else value
        for name, value in body.params.env.items()
    }
    return CommandSpec(node=node, type=body.type, action=body.action, params=CommandParams(**params), user=body.user)


def report_of(body: ResultReport) -> Report:
    """A reported result."""
    return Report(**{name: getattr(body, name) for name in ResultReport.model_fields})


def _transport(flat: FlatTransport | None) -> TransportSpec | None:
    return None if flat is None else TransportSpec(**_fields(flat))


def _transports(flat: tuple[FlatTransport, ...] | None) -> tuple[TransportSpec, ...]:
    return tuple(TransportSpec(**_fields(t)) for t in flat or ())


def _fields(model: BaseModel) -> dict[str, Any]:
    """The fields that were set, as they are."""
    return {name: getattr(model, name) for name in model.model_fields_set}


def _transport_view(transport: TransportSpec) -> dict[str, Any]:
    return transport.model_dump(mode="json", by_alias=False, exclude_defaults=True)


def _host_key_view(key: HostKey) -> HostKeyView:
    return {
        "key": key.key,
        "fingerprint": key.fingerprint,
        "trusted": key.trusted,
        "first_seen": time_view(key.first_seen),
    }


def _whole(spec: CommandSpec) -> WholeCommandView:
    params = spec.params.model_dump(mode="json", by_alias=False, exclude_none=True)
    return {"type": spec.type, "action": spec.action, "params": params, "user": spec.user}


def _text(value: str | None) -> str:
    return value or ""


def _same(value: Any) -> Any:
    return value


_SPEC: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("display_name", _text),
    "provider": ("provider", _text),
    "address": ("address", _text),
    "port": ("port", _same),
    "capabilities": ("capabilities", capabilities_of),
    "services": ("services", services_of),
    "discovery": ("discovery", _same),
    "transport": ("transport", _transport),
    "transports": ("transports", _transports),
}
"""Flat name → the spec's field, and how its value is translated."""

_META = {"labels": "labels", "metadata": "annotations"}
