#!/usr/bin/env python3
"""Writes what in charts/vendetta follows from something else; `--check` only looks.

README.md           the table of values, from the comments in values.yaml
values.schema.json  `config` and `nodes`, from the server's own models
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from controller.config.keys import KEYS, Key, is_secret, kind_of  # noqa: E402
from controller.resources.node import NodeSpec  # noqa: E402

CHART = ROOT / "charts/vendetta"
BEGIN, END = "<!-- values: begin, written by hack/update-chart.py -->", "<!-- values: end -->"
DECIDED = {
    ("server", "host"),
    ("server", "port"),
    ("server", "trusted_proxies"),
    ("registry", "provider"),
    ("auth", "enabled"),
    ("auth", "allow_insecure_remote"),
    ("logging", "output"),
    ("transports", "credentials_dir"),
    ("transports", "known_hosts"),
    ("sources", "manifests"),
    ("metrics", "public"),
}
"""What the chart decides by other values, or by how it mounts things."""
KINDS: dict[str, dict[str, Any]] = {
    "text": {"type": ["string", "null"]},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "list": {"type": "array", "items": {"type": "string"}},
    "duration": {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$"},
}
COMMENT, VALUE = re.compile(r"^ *# (?:-- )?(.*)$"), re.compile(r"^( *)([A-Za-z]\w*):(?: (.*))?$")


def table() -> str:
    """Every value that has a comment."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, meaning in commented((CHART / "values.yaml").read_text().splitlines()):
        default = values
        for name in path:
            default = default[name]
        cells = (f"`{'.'.join(path)}`", f"`{json.dumps(default)}`", meaning)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(["", *rows, ""])


def commented(lines: list[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Paths of values, each with the comment above it."""
    path: list[str] = []
    comment: list[str] = []
    for line in lines:
        if found := COMMENT.match(line):
            comment = [found[1]] if "# -- " in line else [*comment, found[1]]
        elif found := VALUE.match(line):
            path = [*path[: len(found[1]) // 2], found[2]]
            if comment:
                yield tuple(path), " ".join(comment)
            comment = []


def schema() -> str:
    """The schema, with the parts that the server knows best brought up to date."""
    whole = json.loads((CHART / "values.schema.json").read_text())
    whole["properties"]["config"] = config()
    node = whole["properties"]["nodes"]["additionalProperties"]
    names = sorted(field.alias or name for name, field in NodeSpec.model_fields.items())
    node["properties"]["spec"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {n: {} for n in names},
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def config() -> dict[str, Any]:
    """The keys of the configuration that are left to the values."""
    tree: dict[str, Any] = {}
    for key in KEYS:
        if key not in DECIDED and not is_secret(key):
            _put(tree, key)
    return _objects(tree)


def _put(tree: dict[str, Any], key: Key) -> None:
    for name in key[:-1]:
        tree = tree.setdefault(name, {})
    tree[key[-1]] = KINDS[kind_of(key)] | {"description": " ".join((KEYS[key].description or "").split())}


def _objects(tree: dict[str, Any]) -> dict[str, Any]:
    inner = {name: value if "description" in value else _objects(value) for name, value in tree.items()}
    return {"type": "object", "additionalProperties": False, "properties": inner}


def readme() -> str:
    """The README with a new table."""
    head, _, rest = (CHART / "README.md").read_text().partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    """Write, or look."""
    stale = False
    for file, text in ((CHART / "README.md", readme()), (CHART / "values.schema.json", schema())):
        if file.read_text() == text:
            continue
        stale = True
        if "--check" in sys.argv[1:]:
            print(f"{file.relative_to(ROOT)} is stale: run hack/update-chart.py", file=sys.stderr)
        else:
            file.write_text(text)
            print(f"{file.relative_to(ROOT)} written")
    return int(stale and "--check" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
