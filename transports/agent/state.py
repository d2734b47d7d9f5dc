"""What an agent keeps between its starts: the id it is registered under, and the token that it was given for that."""

import json
import os
import re
import secrets
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from transports.wire import Malformed, dump, load

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class StateError(Exception):
    """The state cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`key` is drawn once: who repeats an enrolment with it is the same agent.

    `token` is what the agent was given by `server`, until `expires_at` (RFC 3339); all empty until it has joined.
    """

    id: str
    key: str
    token: str = field(default="", repr=False)
    expires_at: str = ""
    server: str = ""


class StateFile:
    """`state.json` in a folder of the agent's own, readable by its user alone."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or default_folder()) / "state.json"

    def read(self, wanted_id: str | None = None) -> State:
        """The state; a new one where there is none, under `wanted_id` or the host's name. Raises StateError."""
        try:
            state = load(State, json.loads(self._path.read_text()))
        except FileNotFoundError:
            state = State(id=_checked(wanted_id or _host_id()), key=secrets.token_hex(16))
            self.write(state)
        except (OSError, ValueError, Malformed) as error:
            raise StateError(f"{self._path} cannot be used: {error}; mend it, or remove it to enrol anew") from error
        if wanted_id is not None and wanted_id != state.id:
            raise StateError(
                f"this agent is registered as {state.id}, not {wanted_id}: remove {self._path} to enrol anew, or "
                "give another --state"
            )
        return state

    def write(self, state: State) -> None:
        """Put it in place whole, or leave what is there. Raises StateError."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".state")
            try:
                with os.fdopen(descriptor, "w") as file:
                    json.dump(dump(state), file)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path)
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error.strerror or error}") from error


def default_folder() -> Path:
    """`$XDG_STATE_HOME/vendetta-agent`, or below the home."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "vendetta-agent"


def _host_id() -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).strip("-._")[:63]
    return name or f"node-{secrets.token_hex(4)}"


def _checked(node_id: str) -> str:
    if not _ID.fullmatch(node_id):
        raise StateError(
            f"{node_id!r} cannot be a node's id: letters, digits, dots, dashes and underscores, at most 63"
        )
    return node_id
