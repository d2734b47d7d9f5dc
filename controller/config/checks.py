"""What must be right beyond single values before a server starts: secrets (contract A-9), and settings that clash."""

from typing import Final

from controller.config.keys import Key, dotted
from controller.config.sources import Values
from controller.settings import PUBLISHED_AUTH_TOKEN, PUBLISHED_JWT_SECRET, Settings

AUTH_TOKEN: Final[Key] = ("server", "auth_token")
JWT_SECRET: Final[Key] = ("auth", "jwt_secret")
_DEFAULTS: Final = {AUTH_TOKEN: PUBLISHED_AUTH_TOKEN, JWT_SECRET: PUBLISHED_JWT_SECRET}
LEAST, ENOUGH = 16, 32
TAKEN_PATHS: Final = ("/api", "/apis", "/health", "/livez", "/readyz", "/metrics", "/openapi", "/version")


def check_secrets(values: Values, problems: list[str], warnings: list[str]) -> None:
    """With auth on: no published secret, none under 16 characters, a warning under 32 bytes.

    Looks at the values given and not at valid settings, so that it is heard beside every other problem.
    """
    enabled = ("auth", "enabled") in values and values["auth", "enabled"].value is True
    if not enabled:
        return
    secrets = {key: _text(values, key, default) for key, default in _DEFAULTS.items()}
    for key, secret in secrets.items():
        if secret is not None and not (key == AUTH_TOKEN and not secret):  # an empty static token is none at all
            name = f"{values[key].origin}: {dotted(key)}" if key in values else dotted(key)
            _check_secret(name, secret, problems, warnings)
    if secrets[JWT_SECRET] and secrets[JWT_SECRET] == secrets[AUTH_TOKEN]:
        problems.append("auth.jwt_secret and server.auth_token are the same: the signing key must not be a token")


def _text(values: Values, key: Key, default: str) -> str | None:
    """The secret as text; None for a value of another type, which validation refuses anyway."""
    value = values[key].value if key in values else default
    return value if isinstance(value, str) else None


def _check_secret(name: str, secret: str, problems: list[str], warnings: list[str]) -> None:
    advice = "make one with `openssl rand -hex 32`"
    if secret in _DEFAULTS.values():
        problems.append(f"{name} is the published default, which everybody knows, and auth.enabled is true: {advice}")
    elif len(secret) < LEAST:
        problems.append(f"{name} is shorter than {LEAST} characters: {advice}")
    elif len(secret.encode("utf-8", "surrogatepass")) < ENOUGH:
        warnings.append(f"{name} is shorter than {ENOUGH} bytes, which is less than it should be: {advice}")


def check_sense(settings: Settings, values: Values, problems: list[str]) -> None:
    """Settings that are valid each by itself and do not go together."""
    if settings.registry.provider == "postgres" and not settings.registry.dsn:
        problems.append("registry.dsn is missing: registry.provider is postgres, which needs postgresql://HOST/NAME")
    if settings.server.role != "all" and settings.registry.provider != "postgres":
        problems.append(
            f"server.role: {settings.server.role} needs other servers on the same store: "
            "set registry.provider to postgres, or leave the role at all"
        )
    path = settings.websocket.path
    if path == "/" or any(path == taken or path.startswith(taken + "/") for taken in TAKEN_PATHS):
        origin = values["websocket", "path"].origin
        problems.append(f"{origin}: websocket.path {path!r} is taken by another part of the server: use /ws")
