"""How `--help` looks: an option takes `FILE` and the like, a switch or an argument has no type."""

from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption


def make_plain(app: typer.Typer) -> None:
    """Have all verbs below, and the groups, explain themselves that way."""
    app.info.cls = _Group
    for command in app.registered_commands:
        command.cls = _Verb
    for group in app.registered_groups:
        if group.typer_instance is not None:
            make_plain(group.typer_instance)


class _Verb(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return _plain(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> Any:
        return _plain(super().get_params(ctx))


def _plain(params: Any) -> Any:
    for param in params:
        if isinstance(param, TyperArgument) or (isinstance(param, TyperOption) and param.is_flag):
            vars(param)["display_type_rich"] = _nothing  # a metavar would take an argument's name, too
    return params


def _nothing(ctx: object) -> str:
    return ""
