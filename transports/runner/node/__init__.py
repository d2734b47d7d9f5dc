"""The text that runs on nodes, in shell and in perl, read as package data."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

RUNNER = ("lib.sh", "supervisor.sh", "salvage.sh", "reaper.sh", "expire.sh", "serve.sh", "boot.sh")
PERL = ("base.pl", "log.pl", "run.pl", "stop.pl", "net.pl", "serve.pl")
BULK = ("io.sh",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Text without its comments, in the forms in which it travels, without line breaks."""

    text: str
    sha: str
    """The first 12 digits of its SHA-256."""
    encoded: bytes
    """For `printf %b`."""
    plain: bytes
    """Line breaks are US."""


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
    return Program(
        text=text,
        sha=hashlib.sha256(text.encode()).hexdigest()[:12],
        encoded=text.replace("\\", "\\0134").replace("\n", "\\0012").encode("ascii"),
        plain=text.replace("\n", "\x1f").encode("ascii"),
    )
