"""Loading: find the file, lay the sources over each other, validate, check, resolve paths (contract A-1, A-11)."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controller.config.checks import check_secrets, check_sense
from controller.config.keys import KEYS, Key, dotted, is_path, is_secret, kind_of
from controller.config.sources import Given, Values, from_environment, from_file, from_flags, secret_files
from controller.duration import format_duration
from controller.settings import Settings


class ConfigError(Exception):
    """The configuration is wrong; `problems` has a line for everything that is."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Checked settings, the file they came from (None: there was none), and what deserves a warning in the log."""

    settings: Settings
    source: Path | None
    files: tuple[Path, ...]
    """Every file that was read: the source, and those of secrets."""
    warnings: tuple[str, ...]


def load(
    config: Path | None = None,
    *,
    flags: Mapping[str, str | int | None] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Loaded:
    """The settings from flags, environment and file, in this precedence. Raises ConfigError with every problem.

    `config` names the file; without it `$VENDETTA_CONFIG` does, else the usual places are searched. `flags` go by
    dotted key (`{"server.port": 8080}`). `environ` and `cwd` are the process's own where they are not given.
    """
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    problems: list[str] = []
    warnings: list[str] = []
    source = _find(config, environ, cwd)
    values: Values = from_file(source, problems) if source is not None else {}
    values |= from_environment(environ, cwd, problems, warnings)
    values |= from_flags(flags or {}, cwd)
    check_secrets(values, problems, warnings)
    settings = _validated(values, problems)
    if settings is not None:
        check_sense(settings, values, problems)
    if problems or settings is None:
        raise ConfigError(problems)
    settings = _with_absolute_paths(settings, values, source.parent if source is not None else cwd)
    files = (*([source] if source is not None else []), *secret_files(environ, cwd))
    return Loaded(settings=settings, source=source, files=files, warnings=tuple(warnings))


def _find(config: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The file to read. One that is named counts whether it exists or not: reading it says what is wrong."""
    if config is not None:
        return cwd / config
    if named := environ.get("VENDETTA_CONFIG"):
        return cwd / named
    personal = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else "")
    places = [cwd / "coordination.yaml", Path("/etc/vendetta/coordination.yaml")]
    if personal.startswith("/"):
        places.insert(1, Path(personal) / "vendetta/coordination.yaml")
    return next((place for place in places if os.path.lexists(place)), None)


def _validated(values: Values, problems: list[str]) -> Settings | None:
    """The settings, or None with the problems noted."""
    usable = {key: given for key, given in values.items() if not _is_bare_number(key, given, problems)}
    try:
        # As JSON, because in strict mode only JSON turns text into paths and lists into tuples.
        return Settings.model_validate_json(json.dumps(_nested(usable)))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        problems.extend(_described(detail, usable) for detail in details)
        return None


def _is_bare_number(key: Key, given: Given, problems: list[str]) -> bool:
    """A duration without a unit: refused, for nobody means nanoseconds."""
    bare = kind_of(key) == "duration" and not isinstance(given.value, str)
    if bare:
        problems.append(f'{given.origin}: {dotted(key)} must be a duration such as "30s", got {given.value!r}')
    return bare


def _nested(values: Values) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, given in values.items():
        branch = tree
        for name in key[:-1]:
            branch = branch.setdefault(name, {})
        branch[key[-1]] = given.value
    return tree


def _described(detail: ErrorDetails, values: Values) -> str:
    """One line: who gave the value, its key, what it must be, and the value unless it is secret."""
    where = detail["loc"]
    key = next(k for k in KEYS if k == where[: len(k)])
    given, index = values[key], [step for step in where[len(key) :] if isinstance(step, int)]
    value = given.value[index[0]] if index else given.value
    place = dotted(key) + "".join(f"[{i}]" for i in index)
    message = _message(detail, key)
    shown = "" if is_secret(key) or repr(value) in message else f", got {value!r:.200}"
    return f"{given.origin}: {place} {message}{shown}"


def _message(detail: ErrorDetails, key: Key) -> str:
    if kind_of(key) == "duration" and detail["type"] == "greater_than_equal":
        return f"must be at least {format_duration(detail['ctx']['ge'])}"
    if detail["type"] == "value_error":
        return f"is wrong: {detail['msg'].removeprefix('Value error, ')}"
    return detail["msg"].replace("Input should", "must").replace("String should", "must")


def _with_absolute_paths(settings: Settings, values: Values, base: Path) -> Settings:
    """Relative paths start at the file that gives them; those of a flag or a variable at the working directory."""

    def absolute(key: Key, path: str | Path) -> Path:
        return (values[key].base if key in values else base) / path

    updates: dict[str, dict[str, Any]] = {}
    for key in filter(is_path, KEYS):
        path = getattr(getattr(settings, key[0]), key[1])
        if path is not None:
            updates.setdefault(key[0], {})[key[1]] = absolute(key, path)
    if settings.logging.output not in {"stdout", "stderr"}:
        updates["logging"] = {"output": str(absolute(("logging", "output"), settings.logging.output))}
    dsn = settings.registry.dsn or "vendetta.db"
    if settings.registry.provider == "sqlite" and ":" not in dsn.partition("/")[0]:
        updates["registry"] = {"dsn": str(absolute(("registry", "dsn"), dsn))}
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=changed) for name, changed in updates.items()}
    )
