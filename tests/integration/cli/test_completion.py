"""What Tab completes."""

import pytest

from tests.integration.cli.conftest import CLI

NODES = """\
{apiVersion: vendetta.dev/v1, kind: Node, metadata: {name: build-01}}
---
{apiVersion: vendetta.dev/v1, kind: Node, metadata: {name: build-02}}
---
{apiVersion: vendetta.dev/v1, kind: Node, metadata: {name: db}}
"""


def complete(cli: CLI, line: str) -> list[str]:
    """What the shell would offer for the last word of the line."""
    words = {"_VENDETTA_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    cli.environ |= words
    try:
        return cli().text.split()
    finally:
        for name in words:
            del cli.environ[name]


def test_names_that_the_server_knows(vendetta: CLI) -> None:
    """After a kind its names, where nodes are named only those; nothing twice."""
    vendetta("apply", "-f", str(vendetta.write("nodes.yaml", NODES)))
    assert complete(vendetta, "vendetta describe node bu") == ["build-01", "build-02"]
    assert complete(vendetta, "vendetta exec build-01 ") == ["build-02", "db"]
    assert complete(vendetta, "vendetta logs ") == []
    server = vendetta.environ.pop("VENDETTA_SERVER")
    assert complete(vendetta, f"vendetta --server {server} node trust d") == ["db"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("vendetta get ", ["nodes", "commands", "services"]),
        ("vendetta delete n", ["nodes"]),
        ("vendetta get pods ", []),
        ("vendetta --server http://127.0.0.1:1 exec ", []),
        ("vendetta --server nonsense exec ", []),
    ],
)
def test_without_a_server_there_are_kinds_and_no_complaints(offline: CLI, line: str, offered: list[str]) -> None:
    assert complete(offline, line) == offered
