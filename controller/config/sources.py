"""Where values come from: the file, the environment, the flags. Each yields values by key, with their origin.

Problems are collected, not raised: somebody who starts a server wants to hear of all of them at once.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.config.keys import KEYS, SECTIONS, Key, KeyKind, dotted, is_secret, kind_of, nearest
from controller.strictyaml import SIZE_LIMIT, Document, YAMLError, read_document

PREFIX: Final = "VENDETTA_"
DOCUMENTED: Final[dict[str, Key]] = {
    "VENDETTA_COORD_HOST": ("server", "host"),
    "VENDETTA_COORD_PORT": ("server", "port"),
    "VENDETTA_JWT_SECRET": ("auth", "jwt_secret"),
}
_SECRET_FILE_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One value, who gave it (`coordination.yaml:7`, a variable, a flag), and what its relative paths start from."""

    value: Any
    origin: str
    base: Path


Values = dict[Key, Given]


def variable_of(key: Key) -> str:
    """The environment variable of a key: `VENDETTA_TRANSPORTS__SSH__BASE_DIR`."""
    return PREFIX + "__".join(key).upper()


VARIABLES: Final[dict[str, Key]] = {**{variable_of(key): key for key in KEYS}, **DOCUMENTED}
SECRET_FILES: Final[dict[str, str]] = {f"{name}_FILE": name for name, key in VARIABLES.items() if is_secret(key)}


def secret_files(environ: Mapping[str, str], cwd: Path) -> tuple[Path, ...]:
    """The files that hold a secret each, as the environment names them."""
    return tuple(cwd / environ[name] for name in sorted(SECRET_FILES.keys() & environ.keys()))


def from_file(path: Path, problems: list[str]) -> Values:
    """The values in a YAML file (contract A-1)."""
    try:
        with path.open("rb") as file:
            document = read_document(file.read(SIZE_LIMIT + 1), file=str(path))
    except OSError as error:
        problems.append(f"{path}: cannot read the configuration file: {error.strerror or error}")
        return {}
    except YAMLError as error:
        problems.append(str(error))
        return {}
    values: Values = {}
    _read_section(path, document, (), document.data, values, problems)
    return values


def _read_section(path: Path, document: Document, above: Key, data: Any, values: Values, problems: list[str]) -> None:
    if data is None:  # a section whose keys are all commented out
        return
    origin = f"{path}:{document.line_of(above)}"
    if not isinstance(data, dict):
        problems.append(f"{origin}: {dotted(above) or 'the file'} must be a mapping of keys to values")
        return
    for name, value in data.items():
        key = (*above, name)
        origin = f"{path}:{document.line_of(key)}"
        if key in SECTIONS:
            _read_section(path, document, key, value, values, problems)
        elif key in KEYS:
            values[key] = Given(value=value, origin=origin, base=path.parent)
        else:
            problems.append(f"{origin}: unknown key {dotted(key)!r}: did you mean {nearest(key)!r}?")


def from_environment(environ: Mapping[str, str], cwd: Path, problems: list[str], warnings: list[str]) -> Values:
    """The values in environment variables (contract A-11). Variables of other programs' making are left alone."""
    values: Values = {}
    for name in sorted(n for n in environ if n.startswith(PREFIX)):
        if name in VARIABLES:
            text = _documented_text(name, environ[name], warnings)
        elif name in SECRET_FILES:
            text = _secret_from_file(name, environ, cwd, problems)
        else:
            text = None
            if "__" in name:
                likely = difflib.get_close_matches(name.upper(), sorted(VARIABLES), n=1, cutoff=0)[0]
                problems.append(f"{name}: unknown setting: did you mean {likely}?")
        if text is not None:
            key = VARIABLES[SECRET_FILES.get(name, name)]
            _take(name, key, text, cwd, values, problems)
    return values


def _documented_text(name: str, text: str, warnings: list[str]) -> str | None:
    """The text of a variable, or None where it does not count."""
    if name == "VENDETTA_COORD_PORT" and text.startswith("tcp://"):
        warnings.append(
            f"{name}={text[:80]} is ignored: Kubernetes sets it for a Service named vendetta-coord "
            "(enableServiceLinks: false stops that)"
        )
        return None
    return None if name in DOCUMENTED and not text else text


def _secret_from_file(name: str, environ: Mapping[str, str], cwd: Path, problems: list[str]) -> str | None:
    if environ.get(SECRET_FILES[name]):
        problems.append(f"{name}: {SECRET_FILES[name]} is given too: give one of them")
        return None
    path = cwd / environ[name]
    try:
        with path.open("rb") as file:
            text = file.read(_SECRET_FILE_LIMIT).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        problems.append(f"{name}: cannot read {path}: {reason}")
        return None
    return text.removesuffix("\n").removesuffix("\r")


def _take(name: str, key: Key, text: str, cwd: Path, values: Values, problems: list[str]) -> None:
    if key in values:
        problems.append(f"{name}: {dotted(key)} is given by {values[key].origin} too: give one of them")
        return
    try:
        values[key] = Given(value=_converted(key, text), origin=name, base=cwd)
    except ValueError as error:
        shown = "" if is_secret(key) else f", got {text[:80]!r}"
        problems.append(f"{name}: {error}{shown}")


def _converted(key: Key, text: str) -> Any:
    """Text to the kind of value that the key takes, by the same rules as in the file."""
    kind = kind_of(key)
    if not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("must be UTF-8")
    if kind == "boolean" and text not in {"true", "false"}:
        raise ValueError("must be true or false")
    if kind == "integer" and not re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        raise ValueError("must be a whole number")
    if kind == "number" and not re.fullmatch(r"[0-9]*\.?[0-9]+", text):
        raise ValueError("must be a number")
    readers: dict[KeyKind, Callable[[str], Any]] = {
        "boolean": lambda t: t == "true",
        "integer": int,
        "number": float,
        "list": _list,
    }
    return readers.get(kind, str)(text)


def _list(text: str) -> Any:
    """`a,b` or, where an item holds a comma, `["a", "b"]`."""
    if not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        return read_document(text).data
    except YAMLError:
        raise ValueError('must be a list: a,b or ["a", "b"]') from None


def from_flags(flags: Mapping[str, str | int | None], cwd: Path) -> Values:
    """The values of command line flags, by dotted key; None stands for a flag that was not given."""
    given = {tuple(name.split(".")): value for name, value in flags.items() if value is not None}
    return {
        key: Given(value=value, origin=f"--{key[-1].replace('_', '-')}", base=cwd) for key, value in given.items()
    }
