"""What people see: tables, ages, prefixes, descriptions (contract F-2, F-4)."""

import json
import os
import pty
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.cli.describe import described
from api.cli.errors import Misused
from api.cli.grouping import Grouped
from api.cli.invocation import hoisted, split_tail
from api.cli.kinds import COMMANDS, NODES, kind_and_names, kind_named, name_in, name_of
from api.cli.output import Format, show_list, show_one
from api.cli.remote import Piece
from api.cli.screen import Prefixed, Through
from api.cli.tables import age, in_order
from controller.strictyaml import read_document

NOW = datetime(2026, 1, 13, 18, 17, tzinfo=UTC)
NODE = {
    "apiVersion": "vendetta.dev/v1",
    "kind": "Node",
    "metadata": {"name": "build-01", "labels": {"env": "dev"}, "annotations": {"note": "hello"}},
    "spec": {"address": "10.0.0.5", "port": 22, "services": [{"id": "web", "port": 80}]},
    "status": {
        "phase": "active",
        "conditions": [{"type": "Ready", "status": "True", "reason": "ProbeSucceeded", "message": "\x1b[2Jfine"}],
    },
}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (10_799, "179m"), (12_000, "3h20m"), (40_000, "11h"), (200_000, "2d7h"),
     (172_800, "2d"), (900_000, "10d"), (-5, "0s")],
)  # fmt: skip
def test_ages_have_at_most_two_units(seconds: int, text: str) -> None:
    """F-2: as kubectl writes them."""
    assert age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == text
    assert age(None, NOW) == ""
    assert age("soon", NOW) == ""


def test_a_table_is_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """F-2: one line an object; what is not there is a dash; nothing moves the cursor."""
    other = {"kind": "Node", "metadata": {"name": "x"}, "spec": {"address": "\x1b[2J"}, "status": {}}
    show_list([NODE, other], NODES, Format.TABLE)
    assert capsys.readouterr().out.splitlines() == [
        "NAME       STATUS   READY     PROVIDER   ADDRESS    AGE",
        "build-01   active   True      -          10.0.0.5   -",
        "x          -        Unknown   -          \\x1b[2J    -",
    ]


def test_wide_name_json_and_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    """F-2: -o wide | name | json | yaml."""
    show_list([NODE], NODES, Format.WIDE)
    assert "22     -           env=dev" in capsys.readouterr().out
    show_list([NODE], NODES, Format.NAME)
    assert capsys.readouterr().out == "node/build-01\n"
    show_one(NODE, NODES, Format.YAML)
    assert "  labels:\n    env: dev\n" in capsys.readouterr().out
    show_list([NODE], NODES, Format.JSON)
    assert '"kind": "List"' in capsys.readouterr().out


def test_an_empty_list_is_said_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """F-2: and stdout stays empty for programs."""
    show_list([], COMMANDS, Format.TABLE)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no commands found\n")


def test_a_description_has_everything_and_no_control_characters() -> None:
    """F-2: describe."""
    text = described(NODE)
    assert "\x1b" not in text
    for part in ("Name: ", "build-01", "env:", "address:", "- id:", "Conditions:", "ProbeSucceeded", "\\x1b[2Jfine"):
        assert part in text


def test_nothing_turns_the_writing(capsys: pytest.CaptureFixture[str]) -> None:
    """F-2: every format writes such characters out, and JSON and YAML read back to the same text."""
    odd = "a\u202eb\u2066c\u2069\x9bd"
    node = {**NODE, "spec": {"address": odd, odd: odd}}
    for form in (Format.TABLE, Format.JSON, Format.YAML):
        show_one(node, NODES, form)
        out = capsys.readouterr().out
        assert not set(out) & set("\u202e\u2066\u2069\x9b")
        if form is Format.JSON:
            assert json.loads(out) == node
        if form is Format.YAML:
            assert read_document(out).data["spec"] == node["spec"]
    assert not set(described(node)) & set("\u202e\u2066\u2069\x9b")


def test_commands_are_listed_with_the_newest_last() -> None:
    """F-2: by creation; nodes stay as they are."""

    def command(name: str, second: int, queued: str = "") -> dict[str, Any]:
        stamp = f"2026-01-13T18:17:{second:02}Z"
        metadata = {"name": name, "creationTimestamp": stamp}
        return {"kind": "Command", "metadata": metadata, "status": {"queued": queued or stamp}}

    late = command("b", 2, "2026-01-13T18:17:02.5Z")
    items = [command("a", 9), late, command("c", 2), command("d", 1)]
    assert [name_of(item) for item in in_order(items)] == ["d", "c", "b", "a"]
    nodes = [{"kind": "Node", "metadata": {"name": name}} for name in "ba"]
    assert in_order(nodes) == nodes


def test_names_may_carry_their_kind() -> None:
    """F-2: what other verbs print can be given back."""
    assert name_in(COMMANDS, "command/x") == name_in(COMMANDS, "x") == "x"
    for word in ("node/x", "command/", "pod/x"):
        with pytest.raises(Misused):
            name_in(COMMANDS, word)


def test_kinds_have_several_names() -> None:
    """F-2: nodes, node, node/NAME."""
    assert kind_named("Nodes") is NODES
    assert kind_and_names(["node", "a", "b"]) == (NODES, ["a", "b"])
    assert kind_and_names(["command/a", "cmd/b"]) == (COMMANDS, ["a", "b"])
    slips: tuple[list[str], ...] = (
        ["pods"],
        ["node/"],
        ["node/a", "command/b"],
        ["command/command/a"],
        ["command", "command/a"],
        [],
    )
    for words in slips:
        with pytest.raises(Misused):
            kind_and_names(words)


def test_the_tail_is_the_remote_programs(tmp_path: object) -> None:
    """F-4: argv is everything after the first `--`, options and further `--` included."""
    assert split_tail(["exec", "a", "--", "ls", "-l", "--", "--server"]) == (
        ["exec", "a"],
        ("ls", "-l", "--", "--server"),
    )
    assert split_tail(["get", "nodes"]) == (["get", "nodes"], None)


def test_global_options_may_stand_anywhere() -> None:
    """F-4: also behind the verb, but not inside another option's text."""
    assert hoisted(["get", "nodes", "--server", "u", "-w"]) == ["--server", "u", "get", "nodes", "-w"]
    assert hoisted(["get", "--context=x", "nodes"]) == ["--context=x", "get", "nodes"]
    assert hoisted(["exec", "a", "--shell", "--server"]) == ["exec", "a", "--shell", "--server"]


def test_one_node_is_shown_byte_for_byte(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """F-4, C-10: bytes stay bytes, on the stream they came from."""
    screen = Through()
    screen.show("n", Piece(stream="stdout", data=b"\xff\x00a"))
    screen.show("n", Piece(stream="stderr", data=b"e"))
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (b"\xff\x00a", b"e")


def test_several_nodes_are_shown_line_by_line(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """F-4: whole lines behind `node | `, whatever the pieces were; the unfinished ones at the end."""
    screen = Prefixed()
    for node, data in (("a", b"on"), ("b", b"two\nthr"), ("a", b"e\n\nfour"), ("b", b"ee\n")):
        screen.show(node, Piece(stream="stdout", data=data))
    screen.finish("a")
    screen.finish("b")
    assert capfdbinary.readouterr().out == b"b | two\na | one\na | \nb | three\na | four\n"


@pytest.mark.parametrize("screen_of_many", [Prefixed, Grouped])
def test_at_a_terminal_no_node_can_pass_for_another(
    screen_of_many: type[Prefixed | Grouped], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-4: nothing that one of several nodes says moves the cursor; tabs and ends of lines stay."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as seen:
        monkeypatch.setattr(sys, "stdout", terminal)
        screen = screen_of_many()
        screen.show("a", Piece(stream="stdout", data=b"ok\rb | forged\x1b[2J \xc2\x9b1m\xff\t\xc3\xa9\r\nnext"))
        screen.finish("a")
        screen.end()
        shown = b""
        while not shown.endswith(b"next\r\n"):  # what was written in two goes may come in two
            shown += seen.read(4096)
        lines = [line.removeprefix("a | ") for line in shown.decode().splitlines()]
    assert lines[-2:] == ["ok\\rb | forged\\x1b[2J \\x9b1m\\xff\té", "next"]


def test_an_endless_line_is_cut(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """F-4: no output grows in memory."""
    screen = Prefixed()
    for _ in range(3):
        screen.show("a", Piece(stream="stdout", data=b"x" * 60_000))
    screen.finish("a")
    lines = capfdbinary.readouterr().out.splitlines()
    assert sum(len(line) - len(b"a | ") for line in lines) == 180_000
    assert max(map(len, lines)) <= 64 * 1024 + 4
