"""How each kind is created, changed and removed: the Kubernetes face's way into admission."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from controller.admission import Admission, Caller
from controller.resources.command import Command
from controller.resources.meta import Resource
from controller.resources.node import Node

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""As Kubernetes' own names: no vowels, so no words."""
_LONGEST_PREFIX: Final = 58
NAMES: Final = 8
"""Names that are made for one object before it is told that the name is taken, as in Kubernetes."""


class Change(Protocol):
    """From the object as it is to the object as it should be."""

    def __call__(self, old: Any, /) -> Any:
        """Raises what makes the request invalid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One kind on this face."""

    model: type[Resource]
    plural: str
    singular: str
    short_names: tuple[str, ...]
    create: Callable[[Admission, Any, Caller], Awaitable[Resource]]
    update: Callable[[Admission, str, Change, Caller, str], Awaitable[Resource]]
    observe: Callable[[Admission, str, Change, Caller, str], Awaitable[Resource]]
    delete: Callable[[Admission, str, Caller], Awaitable[Resource]]
    get: Callable[[Admission, str], Resource]
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    fields: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    """What field selectors there are besides metadata.name."""
    status_verbs: tuple[str, ...] = ("get", "patch", "update")

    @property
    def kind(self) -> str:
        """The kind's name."""
        return self.model.__name__


def suffix() -> str:
    """What makes a name of a prefix."""
    return "".join(secrets.choice(_LETTERS) for _ in range(5))


def is_nameless(obj: Resource) -> bool:
    """Whether a name has to be made for it."""
    return not obj.metadata.name and bool(obj.metadata.generate_name)


def named(obj: Resource) -> Resource:
    """The object under its own name, or under one made from `generateName`."""
    meta = obj.metadata
    if not is_nameless(obj) or meta.generate_name is None:
        return obj
    name = meta.generate_name[:_LONGEST_PREFIX] + suffix()
    return obj.model_copy(update={"metadata": meta.model_copy(update={"name": name})})


async def _create_node(admission: Admission, node: Node, caller: Caller) -> Resource:
    return await admission.nodes.create(node, caller)


async def _update_node(admission: Admission, name: str, change: Change, caller: Caller, version: str) -> Resource:
    return await admission.nodes.update(name, change, caller, version=version)


async def _observe_node(admission: Admission, name: str, change: Change, caller: Caller, version: str) -> Resource:
    return await admission.nodes.observe(name, change, caller, version=version)


async def _delete_node(admission: Admission, name: str, caller: Caller) -> Resource:
    return await admission.nodes.delete(name, caller)


async def _create_command(admission: Admission, command: Command, caller: Caller) -> Resource:
    return await admission.commands.create(command.spec, caller, command.metadata, again=False)


async def _update_command(admission: Admission, name: str, change: Change, caller: Caller, version: str) -> Resource:
    return await admission.commands.update(name, change, caller, version=version)


async def _observe_command(admission: Admission, name: str, change: Change, caller: Caller, version: str) -> Resource:
    return await admission.commands.observe(name, change, caller, version=version)


async def _delete_command(admission: Admission, name: str, caller: Caller) -> Resource:
    return await admission.commands.delete(name, caller)


NODES: Final = Served(
    model=Node,
    plural="nodes",
    singular="node",
    short_names=("vn",),
    create=_create_node,
    update=_update_node,
    observe=_observe_node,
    delete=_delete_node,
    get=lambda admission, name: admission.nodes.get(name),
    fields={"status.phase": lambda node: node.status.phase},
)
COMMANDS: Final = Served(
    model=Command,
    plural="commands",
    singular="command",
    short_names=("vcmd",),
    create=_create_command,
    update=_update_command,
    observe=_observe_command,
    delete=_delete_command,
    get=lambda admission, name: admission.commands.get(name),
    fields={"spec.node": lambda command: command.spec.node, "status.phase": lambda command: command.status.phase},
)
