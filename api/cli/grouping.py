"""Equal outputs of many nodes, each shown once, with the names of the nodes folded: `build-[01-03,07]`."""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from api.cli.remote import Piece
from api.cli.screen import Pipe
from api.escape import escape

SHOWN: Final = 256 * 1024
"""Bytes that are kept of each stream of an output."""
_NUMBERED: Final = re.compile(r"(.*?)(\d+)", re.ASCII | re.DOTALL)


class Grouped:
    """Keeps everything back until all nodes are finished, then shows the most frequent output first.

    Meanwhile somebody at a terminal is told how many are.
    """

    def __init__(self) -> None:
        self._under_way: dict[str, _Said] = {}
        self._groups: dict[tuple[bytes, ...], tuple[_Said, list[str]]] = {}
        self._out, self._err = Pipe(sys.stdout.buffer), Pipe(sys.stderr.buffer)
        self._at_terminal = sys.stderr.isatty()
        self._finished = 0

    def show(self, node: str, piece: Piece) -> None:
        """Keep it."""
        self._under_way.setdefault(node, _Said()).add(piece)

    def finish(self, node: str) -> None:
        """Put the node with those that said the same."""
        said = self._under_way.pop(node, _Said())
        self._groups.setdefault(said.digest(), (said, []))[1].append(node)
        self._finished += 1
        if self._at_terminal:
            self._err.write(f"\r{self._finished} finished".encode())

    def end(self) -> None:
        """Show all groups."""
        for node in list(self._under_way):
            self.finish(node)
        if self._at_terminal:
            self._err.write(b"\r\x1b[K")
        for said, nodes in sorted(self._groups.values(), key=lambda group: (-len(group[1]), sorted(group[1]))):
            count = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
            silent = "" if said.stdout.size + said.stderr.size else ", no output"
            title = escape(f"== {fold(nodes)} ({count}{silent})").encode() + b"\n"
            self._out.show(title + said.stdout.text())
            if said.stderr.size:
                self._err.show(title + said.stderr.text())


@dataclass(slots=True)
class _Stream:
    """One stream of a node: its beginning, and a digest of it all."""

    head: bytearray = field(default_factory=bytearray)
    size: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)
        self.head += data[: SHOWN - len(self.head)]

    def text(self) -> bytes:
        """What is shown; it ends in a line feed."""
        left_out = self.size - len(self.head)
        end = b"" if not self.head or self.head.endswith(b"\n") else b"\n"
        return bytes(self.head) + end + (f"… and {left_out} bytes more\n".encode() if left_out else b"")


@dataclass(slots=True)
class _Said:
    """What a node said."""

    stdout: _Stream = field(default_factory=_Stream)
    stderr: _Stream = field(default_factory=_Stream)

    def add(self, piece: Piece) -> None:
        (self.stderr if piece.stream == "stderr" else self.stdout).add(piece.data)

    def digest(self) -> tuple[bytes, ...]:
        return self.stdout.digest.digest(), self.stderr.digest.digest()


def fold(names: Iterable[str]) -> str:
    """Names in order, those that differ in the number at their end as one: `build-[01-03,07], db`."""
    numbered: dict[str, list[str]] = {}
    folded = []
    for name in sorted(names):
        match = _NUMBERED.fullmatch(name)
        if match is None:
            folded.append(name)
        else:
            numbered.setdefault(match[1], []).append(match[2])
    folded += [f"{start}{_ranges(numbers)}" for start, numbers in numbered.items()]
    return ", ".join(sorted(folded))


def _ranges(numbers: list[str]) -> str:
    ranges = [run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in _runs(numbers)]
    return numbers[0] if len(numbers) == 1 else f"[{','.join(ranges)}]"


def _runs(numbers: list[str]) -> Iterator[list[str]]:
    """Numbers that follow each other; those with leading zeros by how many digits they have."""
    padded = {len(number) for number in numbers if number.startswith("0") and len(number) > 1}

    def width(number: str) -> int:
        return len(number) if len(number) in padded else 0

    ordered = sorted(numbers, key=lambda number: (width(number), int(number)))
    for _, run in groupby(enumerate(ordered), key=lambda at: (width(at[1]), int(at[1]) - at[0])):
        yield [number for _, number in run]
