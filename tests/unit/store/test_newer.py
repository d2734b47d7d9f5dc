"""Objects with fields that a newer version has stored."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from controller.resources.newer import carry
from controller.resources.node import Node
from controller.resources.scheme import SCHEMA, decode, encode


def body() -> dict[str, Any]:
    """A node as it is stored."""
    check = {"http": {"path": "/"}, "interval": "10s"}
    listed = [{"id": "a", "port": 1, "check": check}, {"id": "b", "port": 2}]
    made = Node.model_validate_json(json.dumps({"metadata": {"name": "n"}, "spec": {"services": listed}}))
    stored: dict[str, Any] = json.loads(encode(made))
    return stored


def read(fields: dict[str, Any]) -> Node:
    """What this version makes of it."""
    node = decode("Node", SCHEMA, json.dumps(fields).encode())
    assert isinstance(node, Node)
    return node


def test_what_is_not_known_comes_back_where_it_was() -> None:
    """At any depth, whatever it is."""
    fields = body()
    fields["top"] = None
    fields["metadata"]["extra"] = [1, {"x": "☃ \x00"}]
    fields["spec"]["services"][0]["check"]["http"]["method"] = "POST"
    fields["spec"]["services"][1]["weight"] = 2
    node = read(fields)
    assert json.loads(encode(node)) == fields
    assert "POST" not in node.model_dump_json()
    assert node.model_copy(update={"spec": node.spec}).spec == node.spec


def test_it_goes_with_what_it_was_part_of() -> None:
    """An entry of a list keeps it while all else in it stays, wherever that entry gets to."""
    fields = body()
    for service in fields["spec"]["services"]:
        service["weight"] = service["port"]
    old = read(fields)
    first, second = old.spec.services
    changed = first.model_copy(update={"port": 9})
    new = carry(old, old.model_copy(update={"spec": old.spec.model_copy(update={"services": (second, changed)})}))
    stored = json.loads(encode(new))["spec"]["services"]
    assert [(service["id"], service.get("weight")) for service in stored] == [("b", 2), ("a", None)]


def test_what_is_wrong_otherwise_is_refused() -> None:
    """A field that is not known excuses no mistake."""
    fields = body()
    fields["spec"]["zone"] = "z"
    fields["spec"]["port"] = -1
    with pytest.raises(ValidationError):
        read(fields)
