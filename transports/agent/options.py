"""What both of the agent's commands make of their options."""

import os
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import Final

TOKEN: Final = "VENDETTA_AGENT_TOKEN"  # noqa: S105 - a variable's name
JOIN_TOKEN: Final = "VENDETTA_JOIN_TOKEN"  # noqa: S105 - likewise


def secret(path: Path | None, variable: str) -> str:
    """The content of that file, else of that variable, else nothing. Raises OSError, and ValueError for no token."""
    token = (path.read_text() if path is not None else os.environ.get(variable, "")).strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{path or variable} must hold one token, on one line, and nothing else")
    return token


def is_loopback(host: str) -> bool:
    """Whether what is sent to that host stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def agent_version() -> str:
    """The version of the installed package."""
    try:
        return version("vendetta")
    except PackageNotFoundError:
        return "0+checkout"
