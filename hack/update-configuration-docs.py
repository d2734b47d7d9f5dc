#!/usr/bin/env python3
"""Writes the tables of docs/reference/configuration.md from the settings' models; `--check` only looks."""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from controller.config.keys import KEYS, Key, is_secret, kind_of  # noqa: E402
from controller.config.render import is_extension, render_value  # noqa: E402
from controller.config.sources import DOCUMENTED, variable_of  # noqa: E402
from controller.settings import Settings  # noqa: E402

PAGE = ROOT / "docs/reference/configuration.md"
BEGIN, END = "<!-- tables: begin, written by hack/update-configuration-docs.py -->", "<!-- tables: end -->"


def tables() -> str:
    """One table a section, in the order of the models."""
    lines: list[str] = []
    heading = ""
    for key, field in KEYS.items():
        section = ".".join(key[:-1])
        if section != heading:
            heading = section
            lines += [
                "",
                f"### {section}",
                "",
                "| key | kind | default | meaning | variable |",
                "|---|---|---|---|---|",
            ]
        name = f"`{key[-1]}`" + (" (extension)" if is_extension(key) else "")
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        lines.append(f"| {name} | {kind(key)} | `{render_value(key, default(key))}` | {meaning} | {variables(key)} |")
    return "\n".join([*lines, ""])


def kind(key: Key) -> str:
    return "secret" if is_secret(key) else kind_of(key)


def default(key: Key) -> Any:
    value: Any = Settings()
    for name in key:
        value = getattr(value, name)
    return value


def variables(key: Key) -> str:
    names = [*(name for name, documented in DOCUMENTED.items() if documented == key), variable_of(key)]
    if is_secret(key):
        names += [f"{name}_FILE" for name in names]
    return ", ".join(f"`{name}`" for name in names)


def page() -> str:
    """The page with fresh tables."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + "\n" + tables() + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    fresh = page()
    if "--check" not in sys.argv:
        PAGE.write_text(fresh)
    elif fresh != PAGE.read_text():
        sys.exit("docs/reference/configuration.md is out of date: run hack/update-configuration-docs.py")
