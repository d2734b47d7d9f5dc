"""Writing a configuration file: every key with its default, in the document's order (contract A-2)."""

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from controller.config.keys import Key, dotted, kind_of, section_of
from controller.duration import SECOND, format_duration
from controller.settings import Section, Settings

DOCUMENTED_SECTIONS: Final = ("server", "registry", "websocket", "auth", "logging")
EXTENSIONS: Final = frozenset(
    {
        "server.trusted_proxies",
        "registry.dsn",
        "registry.lease_duration",
        "auth.node_token_expiry",
        "auth.allow_insecure_remote",
    }
)
_HEADER: Final = """\
# Configuration of the Vendetta coordination server: every key, with its default.
# server.auth_token and auth.jwt_secret are random, made for this file: keep it to yourself.
"""


def default_config(token: Callable[[int], str] = secrets.token_hex) -> Settings:
    """The defaults, with random secrets in place of the two published ones."""
    settings = Settings()
    return settings.model_copy(
        update={
            "server": settings.server.model_copy(update={"auth_token": SecretStr(token(32))}),
            "auth": settings.auth.model_copy(update={"jwt_secret": SecretStr(token(32))}),
        }
    )


def render_config(settings: Settings) -> str:
    """The settings as a YAML file that loads back to the same settings. It holds the secrets."""
    return "\n".join([_HEADER, *_section(settings, (), 0)]) + "\n"


def is_extension(key: Key) -> bool:
    """Whether the key is one that the document does not have."""
    return key[0] not in DOCUMENTED_SECTIONS or dotted(key) in EXTENSIONS


def _section(section: Section, above: Key, indent: int) -> Iterator[str]:
    space = "  " * indent
    for name, field in type(section).model_fields.items():
        key, value = (*above, name), getattr(section, name)
        model = section_of(field)
        if model is not None:
            if not indent and name != "server":
                yield ""
            if is_extension(key):
                yield f"{space}# {_one_line(model.__doc__)}"
            yield f"{space}{name}:"
            yield from _section(value, key, indent + 1)
            continue
        if is_extension(key):
            yield f"{space}# {_one_line(field.description)}"
        yield f"{space}{name}: {render_value(key, value)}"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def render_value(key: Key, value: Any) -> str:
    """One value as YAML."""
    if value is None:
        return "null"
    if kind_of(key) == "duration":
        return json.dumps(_round_duration(value))
    if isinstance(value, SecretStr):
        return json.dumps(value.get_secret_value())
    if isinstance(value, Path):
        return json.dumps(str(value))
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _round_duration(nanoseconds: int) -> str:
    """As the document writes durations: `120s` and `24h`, where Go would write 2m0s and 24h0m0s."""
    seconds, rest = divmod(nanoseconds, SECOND)
    if rest:
        return format_duration(nanoseconds)
    return f"{seconds // 3600}h" if seconds and seconds % 3600 == 0 else f"{seconds}s"
