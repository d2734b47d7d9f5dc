"""Outputs of many nodes, each shown once (contract F-4)."""

import pytest

from api.cli import grouping
from api.cli.grouping import Grouped, fold
from api.cli.remote import Piece


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["a"], "a"),
        (["build-01", "build-02", "build-03"], "build-[01-03]"),
        (["build-9", "build-10", "build-11", "build-7"], "build-[7,9-11]"),
        (["n1", "n01", "n2"], "n[1-2,01]"),
        (["n8", "n08", "n09", "n10", "n9", "n100"], "n[8-9,100,08-10]"),
        (["db", "build-2", "10.0.0.4", "10.0.0.5"], "10.0.0.[4-5], build-2, db"),
        (["7", "8"], "[7-8]"),
        ([f"node-{i:03}" for i in range(1, 998)], "node-[001-997]"),
    ],
)
def test_names_are_folded(names: list[str], folded: str) -> None:
    """In whichever order they come."""
    assert fold(names) == fold(reversed(names)) == folded


def test_outputs_are_equal_whatever_their_pieces_were(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The most frequent one first; both streams count."""
    screen = Grouped()
    said = {"a": (b"on", b"e\n"), "b": (b"two",), "c": (b"one\n",), "d": (b"o", b"ne\n")}
    for node, pieces in said.items():
        for data in pieces:
            screen.show(node, Piece(stream="stdout", data=data))
    screen.show("d", Piece(stream="stderr", data=b"oh"))
    for node in (*said, "e"):
        screen.finish(node)
    assert capfdbinary.readouterr() == (b"", b"")
    screen.end()
    shown = b"== a, c (2 nodes)\none\n== b (1 node)\ntwo\n== d (1 node)\none\n== e (1 node, no output)\n"
    assert capfdbinary.readouterr() == (shown, b"== d (1 node)\noh\n")


def test_no_output_grows_in_memory(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is compared whole all the same, and what is left out is counted."""
    monkeypatch.setattr(grouping, "SHOWN", 5)
    screen = Grouped()
    for node, data in (("a", b"12345678"), ("b", b"12345678"), ("c", b"12345679")):
        screen.show(node, Piece(stream="stdout", data=data))
    screen.end()
    rest = "12345\n… and 3 bytes more\n"
    assert capfdbinary.readouterr().out.decode() == f"== a, b (2 nodes)\n{rest}== c (1 node)\n{rest}"
