"""Where remote output goes: straight through for one node, line by line with the node's name for several."""

import contextlib
import os
import re
import sys
from typing import BinaryIO, Final, Protocol

from api.cli.remote import Piece
from api.escape import escape

_LONGEST_LINE: Final = 64 * 1024


class Screen(Protocol):
    """Takes output of nodes. A reader of ours who leaves (`| head`) costs output, never the command."""

    def show(self, node: str, piece: Piece) -> None:
        """Show what came."""

    def finish(self, node: str) -> None:
        """Nothing more will come from that node."""

    def end(self) -> None:
        """Nothing more will come from any."""


class Through:
    """The bytes as they are, stdout to stdout and stderr to stderr."""

    def __init__(self) -> None:
        self._out = {"stdout": Pipe(sys.stdout.buffer), "stderr": Pipe(sys.stderr.buffer)}

    def show(self, node: str, piece: Piece) -> None:
        """Write the bytes."""
        self._out.get(piece.stream, self._out["stdout"]).write(piece.data)

    def finish(self, node: str) -> None:
        """Nothing is kept back."""

    def end(self) -> None:
        """Nothing is kept back."""


class Prefixed:
    """Whole lines, each behind `node | `; a line without an end is shown when the node is finished."""

    def __init__(self) -> None:
        self._out = {"stdout": Pipe(sys.stdout.buffer), "stderr": Pipe(sys.stderr.buffer)}
        self._rest: dict[tuple[str, str], bytes] = {}

    def show(self, node: str, piece: Piece) -> None:
        """Write the lines that are complete, and keep the rest; a very long line is cut."""
        stream = piece.stream if piece.stream in self._out else "stdout"
        data = self._rest.pop((node, stream), b"") + piece.data
        *lines, rest = data.split(b"\n")
        while len(rest) > _LONGEST_LINE:
            lines.append(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        if rest:
            self._rest[node, stream] = rest
        self._write(node, stream, lines)

    def finish(self, node: str) -> None:
        """Write what is left."""
        for stream in self._out:
            if rest := self._rest.pop((node, stream), b""):
                self._write(node, stream, [rest])

    def end(self) -> None:
        """All nodes are finished."""

    def _write(self, node: str, stream: str, lines: list[bytes]) -> None:
        prefix = node.encode() + b" | "
        self._out[stream].show(b"".join(prefix + line + b"\n" for line in lines))


class Nothing:
    """For callers who want the results only."""

    def show(self, node: str, piece: Piece) -> None:
        """Drop it."""

    def finish(self, node: str) -> None:
        """Nothing is kept back."""

    def end(self) -> None:
        """Nothing is kept back."""


class Pipe:
    """A stream of ours, until whoever reads it goes away."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: BinaryIO | None = stream
        self._at_terminal = stream.isatty()

    def show(self, lines: bytes) -> None:
        """Write what one of several nodes said. At a terminal nothing in it is obeyed: none can pass for another."""
        self.write(_harmless(lines) if self._at_terminal else lines)

    def write(self, data: bytes) -> None:
        """Write it, now."""
        if self._stream is None or not data:
            return
        try:
            self._stream.write(data)
            self._stream.flush()
        except BrokenPipeError:
            with contextlib.suppress(OSError):  # so that the interpreter's last flush has somewhere to go
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            self._stream = None


def _harmless(lines: bytes) -> bytes:
    """The lines with control characters written out, but for tabs and the ends of lines."""
    text = lines.decode(errors="backslashreplace").replace("\r\n", "\n")
    return re.sub(r"[^\n\t]+", lambda plain: escape(plain[0]), text).encode()
