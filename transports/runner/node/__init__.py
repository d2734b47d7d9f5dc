"""The text that runs on nodes, in shell and in perl, read as package data."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

RUNNER = ("lib.sh", "supervisor.sh", "salvage.sh", "reaper.sh", "expire.sh", "serve.sh", "boot.sh")
PERL = ("base.pl", "log.pl", "run.pl", "stop.pl", "net.pl", "serve.pl")
BULK = ("io.sh",)


@dataclass(frozen=True, slots=True)
class Program:
    """Text without its comments, and the first 12 digits of its SHA-256."""

    text: str
    sha: str

    @property
    def encoded(self) -> bytes:
        """The text without line breaks, for `printf %b`."""
        return self.text.replace("\\", "\\0134").replace("\n", "\\0012").encode("ascii")

    @property
    def plain(self) -> bytes:
        """The text without line breaks: they are US."""
        return self.text.replace("\n", "\x1f").encode("ascii")


@cache
def runner() -> Program:
    """The resident runner."""
    return _program(RUNNER)


@cache
def perl() -> Program:
    """The same runner for nodes that have perl."""
    return _program(PERL)


@cache
def bulk() -> Program:
    """What serves a channel for large scripts and large output."""
    return _program(BULK)


def _program(names: tuple[str, ...]) -> Program:
    here = files(__name__)
    lines = [line for name in names for line in here.joinpath(name).read_text("ascii").splitlines()]
    text = "\n".join(stripped for line in lines if (stripped := line.strip(" ")) and not stripped.startswith("#"))
    return Program(text, hashlib.sha256(text.encode()).hexdigest()[:12])
