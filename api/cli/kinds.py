"""The kinds that the CLI can show and change, and what people call them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.cli.errors import Misused

API: Final = "/apis/vendetta.dev/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind: `Node`, `node`, `nodes`."""

    name: str
    singular: str
    plural: str
    short: tuple[str, ...]

    @property
    def words(self) -> frozenset[str]:
        """What people call it."""
        return frozenset({self.singular, self.plural, *self.short})


NODES: Final = Kind(name="Node", singular="node", plural="nodes", short=("no", "vn"))
COMMANDS: Final = Kind(name="Command", singular="command", plural="commands", short=("cmd", "vcmd"))
KINDS: Final = (NODES, COMMANDS)
SERVICES: Final = Kind(name="Service", singular="service", plural="services", short=("svc",))
"""For `get` alone: they are read from `/api/v1/services`, for they are no objects of their own."""


def kind_named(word: str, offered: Sequence[Kind] = KINDS) -> Kind:
    """The kind that somebody means. Raises Misused, with the kinds that are on offer."""
    for kind in KINDS:
        if word.lower() in kind.words:
            return kind
    if word.lower() in SERVICES.words:
        raise Misused("services belong to their nodes, and can only be shown: vendetta get services")
    raise Misused(f"there is no kind {word!r}: use {_either(offered)}")


def kind_and_names(words: list[str], offered: Sequence[Kind] = KINDS) -> tuple[Kind, list[str]]:
    """What `nodes`, `node a b` and `node/a node/b` mean. Raises Misused."""
    if not words:
        raise Misused(f"name a kind: {_either(offered)}")
    if "/" not in words[0]:
        kinds, names = {kind_named(words[0], offered)}, words[1:]
    else:
        pairs = [word.partition("/") for word in words]
        kinds, names = {kind_named(kind, offered) for kind, _, _ in pairs}, [name for _, _, name in pairs]
    if len(kinds) > 1 or not all(names) or any("/" in name for name in names):
        raise Misused("write KIND NAME… or KIND/NAME…, of one kind at a time")
    return kinds.pop(), names


def _either(kinds: Sequence[Kind]) -> str:
    *others, last = (kind.plural for kind in kinds)
    return f"{', '.join(others)} or {last}"


def name_in(kind: Kind, word: str) -> str:
    """The name in `build-01` or `node/build-01`. Raises Misused for an object of another kind."""
    prefix, slash, name = word.partition("/")
    if not slash:
        return word
    if kind_named(prefix) is not kind or not name:
        raise Misused(f"{word!r} is not a {kind.singular}: write NAME or {kind.singular}/NAME")
    return name


def title(obj: dict[str, Any]) -> str:
    """`node/build-01`."""
    return f"{str(obj.get('kind', '?')).lower()}/{name_of(obj)}"


def name_of(obj: dict[str, Any]) -> str:
    """The object's name."""
    return str(obj.get("metadata", {}).get("name", ""))
