#!/usr/bin/env python3
"""Writes hack/schemas from CustomResourceDefinitions: hack/update-schemas.py CRD.yaml…

For kubeconform: version v1 of each, without descriptions, and with unknown fields refused as `-strict` wants it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent / "schemas"
VERSION = "v1"


def strict(schema: Any) -> Any:
    """The schema as plain JSON Schema; an object has no fields but those that are named."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: strict(value) for key, value in schema.items() if not is_of_kubernetes(key, value)}
    if schema.get("x-kubernetes-int-or-string"):
        plain.pop("anyOf", None)
        plain["type"] = ["integer", "string"]
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if named and not schema.get("x-kubernetes-preserve-unknown-fields"):
        plain.setdefault("additionalProperties", False)
    if plain.get("format") in {"int32", "int64"}:
        del plain["format"]
    return plain


def is_of_kubernetes(key: str, value: Any) -> bool:
    """Whether this is no JSON Schema, or says nothing to a program."""
    return (key == "description" and isinstance(value, str)) or key.startswith("x-kubernetes")


def main() -> None:
    """Write them."""
    for file in sys.argv[1:]:
        spec = yaml.safe_load(Path(file).read_text())["spec"]
        version = next(v for v in spec["versions"] if v["name"] == VERSION)
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        name = f"{spec['names']['kind']}-{spec['group'].partition('.')[0]}-{VERSION}.json".lower()
        (FOLDER / name).write_text(json.dumps(schema, sort_keys=True, separators=(",", ":")) + "\n")
        print(name)


if __name__ == "__main__":
    main()
