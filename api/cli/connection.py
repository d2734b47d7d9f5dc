"""Which server, and with which token (contract F-4): flag, else variable, else current context, else this machine."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from api.cli.errors import Misused
from controller.strictyaml import YAMLError, read_document

DEFAULT_SERVER: Final = "http://127.0.0.1:3001"
_CONTEXT_KEYS: Final = {"server", "token", "token_file"}
_TOKEN: Final = re.compile("[!-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The server's URL, without a slash at its end, and the bearer token, if there is one."""

    url: str
    token: str | None = field(default=None, repr=False)


def resolve(
    *,
    server: str | None = None,
    token_file: str | None = None,
    context: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Connection:
    """Whom to talk to. Raises Misused for a URL, a file or a context that makes no sense.

    A context's token goes to that context's server and to no other.
    """
    chosen = _context(context, environ)
    theirs = str(chosen.get("server") or DEFAULT_SERVER)
    url = _checked_url(server or environ.get("VENDETTA_SERVER") or theirs)
    if token_file is not None:
        return Connection(url=url, token=_token_in(Path(token_file)))
    if token := environ.get("VENDETTA_TOKEN"):
        return Connection(url=url, token=_checked_token(token, "VENDETTA_TOKEN"))
    if url != theirs.rstrip("/"):
        return Connection(url=url)
    if "token_file" in chosen:
        return Connection(url=url, token=_token_in(_contexts_path(environ).parent / str(chosen["token_file"])))
    if "token" in chosen:
        return Connection(url=url, token=_checked_token(str(chosen["token"]), "the context's token"))
    return Connection(url=url)


def _checked_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise Misused(f"{text!r} is not a server's URL: write it like {DEFAULT_SERVER}")
    if "@" in parts.netloc:
        raise Misused("a server's URL holds no user and password: give a token with --token-file or VENDETTA_TOKEN")
    return text.rstrip("/")


def _token_in(path: Path) -> str:
    try:
        text = path.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(
            f"cannot read the token file {path}: {getattr(error, 'strerror', None) or 'not text'}"
        ) from None
    if not text.strip():
        raise Misused(f"the token file {path} is empty")
    return _checked_token(text, f"the token file {path}")


def _checked_token(text: str, origin: str) -> str:
    """The token, fit for a header. What is wrong with it is told without showing it."""
    token = text.removesuffix("\n").removesuffix("\r")
    if not _TOKEN.fullmatch(token):
        raise Misused(f"{origin} is no token: it holds a space, a line break or a character that is not ASCII")
    return token


def _contexts_path(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    return Path(base) / "vendetta/contexts.yaml"


def _context(name: str | None, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The context of that name, else the file's current one, else nothing."""
    path = _contexts_path(environ)
    if not os.path.lexists(path):
        if name is not None:
            raise Misused(f"there is no context {name!r}: {path} does not exist")
        return {}
    try:
        data = read_document(path.read_bytes(), file=str(path)).data or {}
    except OSError as error:
        raise Misused(f"cannot read {path}: {error.strerror}") from None
    except YAMLError as error:
        raise Misused(str(error)) from None
    contexts = data.get("contexts") or {} if isinstance(data, dict) else None
    if not isinstance(contexts, dict):
        raise Misused(f"{path}: expected `current: NAME` and `contexts:` with a mapping by name")
    name = name or data.get("current")
    return _one_context(path, contexts, name) if name else {}


def _one_context(path: Path, contexts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    chosen = contexts.get(name)
    if not isinstance(chosen, dict):
        known = ", ".join(sorted(contexts)) or "none"
        raise Misused(f"{path}: there is no context {name!r} (there is: {known})")
    if unknown := sorted(set(chosen) - _CONTEXT_KEYS):
        raise Misused(f"{path}: context {name}: unknown key {unknown[0]!r} (known: server, token, token_file)")
    return chosen
