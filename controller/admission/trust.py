"""Trusting a host key that a node presented (contract E-7): in the node's status, and as a pin that outlives it."""

from datetime import datetime

from controller.admission.errors import Refused
from controller.admission.registry import Registry
from controller.resources.conditions import with_condition
from controller.resources.meta import ObjectMeta
from controller.resources.node import HOST_KEY_TRUSTED, HostKey, Node, transports_of
from controller.resources.record import Record
from controller.store.base import Create, Operation, Update

SSH_PORT = 22


def pin_name(node: Node) -> str:
    """The address and port that the key is pinned to."""
    ssh = next((t for t in transports_of(node) if t.type == "ssh"), None)
    address = (ssh and ssh.address) or node.spec.address
    port = (ssh and ssh.port) or node.spec.port or SSH_PORT
    return f"{address}:{port}"


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
    status = node.status.model_copy(update={"host_keys": keys, "conditions": conditions})
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
