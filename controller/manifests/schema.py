"""Checking a manifest against the resource models, so that a typo is found at once, with its line (contract F-2)."""

import difflib
import json
import typing
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.resources.meta import API_VERSION, Resource
from controller.resources.scheme import KINDS

SHOWN: Final = {name: kind for name, kind in KINDS.items() if kind.plural is not None}
_SECRETS: Final = {"password", "passphrase", "privatekey", "token", "secret", "apikey", "identityfile"}
_BY_REFERENCE: Final = (
    "a secret does not belong in a manifest: name a file of the server's credentials directory in credentialRef"
)
_CLOSE_ENOUGH: Final = 0.5
"""Similarity below which a suggestion would only puzzle."""
_TYPE: Final = "must be a"
Place = tuple[str | int, ...]
Problem = tuple[Place, str]
"""Where in the manifest, and what is wrong there."""


def check(data: Any, *, named: bool = True) -> tuple[Resource | None, list[Problem]]:
    """The resource, or everything that is wrong with the manifest. `named`: it must have a name."""
    if problem := _head(data, named=named):
        return None, [problem]
    kind = SHOWN[data["kind"]]
    try:
        resource = kind.model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        return None, _merged(_problem(kind.model, data, detail) for detail in details)
    if resource.name and not kind.name_pattern.fullmatch(resource.name):
        return None, [(("metadata", "name"), f"{resource.name[:80]!r} is not a {data['kind']}'s name")]
    return resource, []


def _head(data: Any, *, named: bool) -> Problem | None:
    """What a manifest must have before its kind can say more."""
    if not isinstance(data, dict):
        return (), "a manifest is a mapping with apiVersion, kind, metadata and spec"
    kind, version = data.get("kind"), data.get("apiVersion")
    if kind is None:
        return (), f"kind is missing: there is {' and '.join(SHOWN)}"
    if not isinstance(kind, str) or kind not in SHOWN:
        likely = difflib.get_close_matches(str(kind), SHOWN, n=1, cutoff=_CLOSE_ENOUGH)
        hint = f"did you mean {likely[0]!r}?" if likely else f"there is {' and '.join(SHOWN)}"
        return ("kind",), f"unknown kind {kind!r}: {hint}"
    if version != API_VERSION:
        return ("apiVersion",), f"apiVersion must be {API_VERSION!r}, not {version!r}"
    metadata = data.get("metadata")
    if named and (not isinstance(metadata, dict) or not metadata.get("name")):
        return ("metadata",), "metadata.name is missing"
    return None


def _problem(model: type[BaseModel], data: Any, detail: ErrorDetails) -> Problem:
    place = _place_in(data, detail["loc"])
    name = ".".join(str(step) for step in place)
    if detail["type"] == "extra_forbidden" and str(place[-1]).replace("_", "").lower() in _SECRETS:
        return place, f"unknown key {name!r}: {_BY_REFERENCE}"
    if detail["type"] == "extra_forbidden":
        return place, f"unknown key {name!r}{_hint(model, place)}"
    if detail["type"] == "missing":
        name = ".".join(str(step) for step in (*place, detail["loc"][-1]))
        return place, f"{name} is missing"
    message = (
        detail["msg"].removeprefix("Value error, ").replace("Input should", "must").replace("String should", "must")
    )
    return place, f"{name or 'the manifest'}: {message}"


def _merged(problems: Iterable[Problem]) -> list[Problem]:
    """One problem a place: a value that fits none of several types is one mistake, not several."""
    by_place: dict[Place, list[str]] = {}
    for place, message in problems:
        by_place.setdefault(place, []).append(message)
    deeper = {place[:end] for place in by_place for end in range(len(place))}
    merged = ((place, _condensed(messages, deeper=place in deeper)) for place, messages in by_place.items())
    return [(place, message) for place, message in merged if message]


def _condensed(messages: list[str], *, deeper: bool) -> str:
    """What is wrong at one place; nothing, where it has a right type whose inside is wrong."""
    types = [message for message in messages if f": {_TYPE}" in message]
    others = [message for message in messages if message not in types]
    if others or deeper:
        return others[0] if others else ""
    name = types[0].partition(": ")[0]
    if len(types) == 1:
        return types[0]
    wanted = (message.partition(": must be ")[2].replace("a valid i", "an i") for message in dict.fromkeys(types))
    return f"{name}: must be " + " or ".join(wanted).replace("a valid ", "a ")


def _place_in(data: Any, location: Place) -> Place:
    """The part of pydantic's location that exists in the manifest: it also names types and validators."""
    place: list[str | int] = []
    for step in location:
        inside = isinstance(data, dict) and step in data
        if not inside and not (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            continue
        data = data[step]
        place.append(step)
    return tuple(place)


def _hint(model: type[BaseModel], place: Place) -> str:
    """`: did you mean …?`, a neighbour's name or the same name elsewhere."""
    name = str(place[-1])
    neighbours = [alias for found in _models_at(model, place[:-1]) for alias in _names(found)]
    close = difflib.get_close_matches(name, neighbours, n=1, cutoff=_CLOSE_ENOUGH)
    if not close:
        close = [path for path in _paths(model) if path.rpartition(".")[2].lower() == name.lower()][:1]
    return f": did you mean {close[0]!r}?" if close else ""


def _names(model: type[BaseModel]) -> dict[str, Any]:
    """The model's fields as a manifest writes them."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _models_at(model: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    """The models that a value at that place may have."""
    models = [model]
    for step in place:
        if isinstance(step, int):
            continue  # `_models_in` already looks through lists
        models = [found for m in models for found in _models_in(_names(m).get(step))]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside a type: under Optional, Annotated, unions, lists and maps."""
    if inner := typing.get_args(annotation):
        return [model for argument in inner for model in _models_in(argument)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _paths(model: type[BaseModel], above: str = "") -> Iterable[str]:
    """Every place in the model, dotted, outermost first."""
    inner = [(f"{above}{name}", annotation) for name, annotation in _names(model).items() if name != "status"]
    yield from (path for path, _ in inner)
    for path, annotation in inner:
        for found in _models_in(annotation):
            yield from _paths(found, f"{path}.")
