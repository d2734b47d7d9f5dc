"""What a registration makes of a node: pure, whoever registers it, and whichever way."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from controller.admission.caller import Caller
from controller.admission.errors import Invalid, Problem
from controller.admission.ownership import begun, wish_of
from controller.admission.phase import effective_phase, first_status, with_phase
from controller.resources.meta import GROUP, MAX_ENTRIES, ObjectMeta
from controller.resources.node import Node
from controller.resources.scheme import KINDS
from controller.resources.service import Service

_NOT_A_NODES_OWN: Final = ("unschedulable", "provider", "address", "port", "transport", "transports", "discovery")


def check_name(name: str) -> None:
    """Raises Invalid for a name that no node may have."""
    if not KINDS["Node"].name_pattern.fullmatch(name):
        raise Invalid(
            "the node's name is not valid",
            Problem(field="metadata.name", message="at most 63 of [A-Za-z0-9._-], the first one alphanumeric"),
        )


def blank(name: str) -> Node:
    """A node of which nothing is known but its name."""
    return Node(metadata=ObjectMeta(name=name))


def wish(old: Node, asked: Node) -> Node:
    """`old` with the wish of `asked`: its spec, labels, annotations and finalizers; nothing else is a caller's."""
    return old.model_copy(update={"spec": asked.spec, "metadata": wish_of(old.metadata, asked.metadata)})


def created(asked: Node, caller: Caller, now: datetime, node_timeout: int) -> Node:
    """A new node as it is first stored; being created counts as contact. `node_timeout` in nanoseconds."""
    status = with_phase(first_status(now), effective_phase(asked, now, now, node_timeout), now)
    status = status.model_copy(update={"last_seen": now, "updated_at": now})
    node = begun(wish(blank(asked.name), asked), asked.metadata.managed_fields, caller, now)
    return node.model_copy(update={"status": status})


def changed(
    old: Node, new: Node, contact: datetime | None, now: datetime, node_timeout: int, *, always: bool = False
) -> Node:
    """`new` in the phase that it has now; `old` itself where nothing is different.

    `always`: it counts as registered again, whether or not that changed anything.
    """
    registered = always or (old.spec, old.metadata) != (new.spec, new.metadata)
    status = with_phase(old.status, effective_phase(new, contact, now, node_timeout), now)
    if registered:
        status = status.model_copy(update={"updated_at": now, "last_seen": contact})
    if not registered and status == old.status:
        return old
    return new.model_copy(update={"status": status})


def revoked(node: Node, now: datetime) -> Node:
    """The node, none of whose tokens that were issued until now counts any more."""
    return node.model_copy(update={"status": node.status.model_copy(update={"tokens_revoked_at": now})})


def without_privilege(old: Node, new: Node) -> Node:
    """What a node may say of itself: never its intent, checks, or how it is reached, which the provider may decide
    (contract E-5). Labels select who gets commands, and our own annotations steer the next apply: both stay, too.
    """
    said = modest(old, new)
    spec = said.spec.model_copy(update={name: getattr(old.spec, name) for name in _NOT_A_NODES_OWN})
    metadata = old.metadata.model_copy(update={"annotations": said.metadata.annotations})
    return said.model_copy(update={"spec": spec, "metadata": metadata})


def modest(old: Node, new: Node) -> Node:
    """`new` with the checks and the annotations of ours that `old` has: no node may choose those, not even once."""
    theirs = {k: v for k, v in new.metadata.annotations.items() if not _ours(k)}
    ours = {k: v for k, v in old.metadata.annotations.items() if _ours(k)}
    return new.model_copy(
        update={
            "spec": new.spec.model_copy(update={"services": keep_checks(old.spec.services, new.spec.services)}),
            "metadata": new.metadata.model_copy(update={"annotations": {**theirs, **ours}}),
        }
    )


def keep_checks(old: Sequence[Service], new: Sequence[Service]) -> tuple[Service, ...]:
    """The new services with the checks of the old ones.

    What a check is aimed at belongs to it: no node may turn one on another port or machine, nor get rid of one by
    not naming its service.
    """
    checked = {s.id: s for s in old if s.check is not None}
    said = tuple(_checked_as(checked.get(s.id), s) for s in new)
    named = {s.id for s in said}
    left = tuple(s for s in checked.values() if s.id not in named)
    return (*said[: MAX_ENTRIES - len(left)], *left)


def _checked_as(old: Service | None, new: Service) -> Service:
    if old is None:
        return new.model_copy(update={"check": None})
    return new.model_copy(update={"check": old.check, "port": old.port, "endpoint": old.endpoint})


def _ours(annotation: str) -> bool:
    prefix = annotation.rpartition("/")[0]
    return prefix == GROUP or prefix.endswith(f".{GROUP}")
