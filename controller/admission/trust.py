"""Trusting what a node presented: a host key (contract E-7), in the node's status and as a pin that outlives it, and
another place for its credential (contract B-2).
"""

from datetime import datetime

from controller import bindings
from controller.admission.errors import Refused
from controller.admission.registry import Registry
from controller.resources.conditions import with_condition
from controller.resources.meta import ObjectMeta
from controller.resources.node import (
    CREDENTIAL_REBIND_REQUIRED,
    HOST_KEY_TRUSTED,
    HostKey,
    Node,
    TransportSpec,
    address_of,
    transports_of,
)
from controller.resources.record import Record
from controller.store.base import Create, Operation, Update


def pin_name(node: Node) -> str:
    """The address and port that the key is pinned to."""
    ssh = next((t for t in transports_of(node) if t.type == "ssh"), TransportSpec(type="ssh"))
    return "{}:{}".format(*address_of(node, ssh))


def confirming(node: Node, now: datetime) -> Node:
    """The node whose credential may be used where it was refused. Raises Refused where none was."""
    refused = node.status.credential_refused
    if refused is None:
        raise Refused(f'no credential of node "{node.name}" waits to be confirmed')
    message = f"credential {refused.credential!r} was confirmed for {refused.place}"
    status = node.status.model_copy(
        update={
            "credentials": bindings.confirmed(node, refused, now),
            "credential_refused": None,
            "conditions": with_condition(
                node.status.conditions, CREDENTIAL_REBIND_REQUIRED, "False", "Confirmed", message, now
            ),
        }
    )
    return node.model_copy(update={"status": status})


def trusting(store: Registry, node: Node, fingerprint: str, now: datetime) -> list[Operation]:
    """The writes that trust that key, the node's first. Raises Refused for a key that the node never presented."""
    accepted = next((k for k in node.status.host_keys if k.fingerprint == fingerprint), None)
    if accepted is None:
        raise Refused(
            f'node "{node.name}" has not presented a host key with that fingerprint: '
            "compare it with those in the node's status"
        )
    keys = tuple(_judge(key, accepted) for key in node.status.host_keys)
    message = f"trusted by fingerprint {fingerprint}"
    conditions = with_condition(node.status.conditions, HOST_KEY_TRUSTED, "True", "Trusted", message, now)
    # Who accepts this very key for this very node has confirmed it for the node's credential as well.
    bound = bindings.with_host_key(node.status.credentials, pin_name(node), accepted.key)
    update = {"host_keys": keys, "conditions": conditions, "credentials": bound}
    status = node.status.model_copy(update=update)
    pin = _pin(store, pin_name(node), [k.key for k in keys if k.trusted])
    return [Update(obj=node.model_copy(update={"status": status})), pin]


def _judge(key: HostKey, accepted: HostKey) -> HostKey:
    """The accepted key replaces another trusted one of the same algorithm; other algorithms stay as they are."""
    if key.fingerprint == accepted.fingerprint:
        return key.model_copy(update={"trusted": True})
    same_algorithm = key.key.split(" ", 1)[0] == accepted.key.split(" ", 1)[0]
    return key.model_copy(update={"trusted": False}) if same_algorithm else key


def _pin(store: Registry, name: str, keys: list[str]) -> Operation:
    known = store.get("HostKeyPin", name)
    if known is None:
        return Create(obj=Record(kind="HostKeyPin", metadata=ObjectMeta(name=name), data={"keys": [*keys]}))
    assert isinstance(known, Record)
    return Update(obj=known.model_copy(update={"data": {**known.data, "keys": [*keys]}}))
