"""What each role may do on this face, as Kubernetes asks for it: by verb and resource (contract E-5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.auth.principal import Principal, Role
from controller.resources.meta import GROUP

ANY: Final = "*"
_READ: Final = ("get", "list", "watch")
_CHANGE: Final = ("patch", "update")
_MAKE: Final = ("create", "delete", "deletecollection")
VERBS: Final = (*_READ, *_CHANGE, *_MAKE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """From this role on, these verbs on these resources."""

    role: Role
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    note: str = ""


RULES: Final = (
    Rule(role=Role.VIEWER, resources=("nodes", "commands"), verbs=_READ),
    Rule(role=Role.OPERATOR, resources=("commands",), verbs=(*_CHANGE, *_MAKE)),
    Rule(
        role=Role.OPERATOR,
        resources=("nodes",),
        verbs=_CHANGE,
        note="an operator may cordon and uncordon, and nothing else",
    ),
    Rule(role=Role.ADMIN, resources=("nodes",), verbs=_MAKE),
)
RESOURCES: Final = tuple(dict.fromkeys(name for rule in RULES for name in rule.resources))
PATHS: Final = ("/api", "/api/*", "/apis", "/apis/*", "/openapi/*", "/version", "/metrics", "/metrics/*")
"""What a viewer may get besides resources."""
OPEN: Final = ("/health", "/livez", "/readyz")
"""What everybody may."""


def allowed(caller: Principal, verb: str, group: str, resource: str, subresource: str = "") -> tuple[bool, str]:
    """Whether the caller may do that, and what there is to say about it. `*` stands for all there are."""
    groups = {GROUP, ANY, ""} if resource == ANY else {GROUP, ANY}
    if group not in groups or resource not in {*RESOURCES, ANY} or subresource:
        return False, "there is no such resource"
    resources = RESOURCES if resource == ANY else (resource,)
    verbs = VERBS if verb == ANY else (verb,)
    rules = [_rule(caller, one, name) for one in verbs for name in resources]
    if not all(rules):
        return False, f"the role {caller.role.value} does not allow it"
    notes = {rule.note for rule in rules if rule is not None and not caller.may(Role.ADMIN)}
    return True, "; ".join(sorted(notes - {""}))


def allowed_path(caller: Principal, verb: str, path: str) -> bool:
    """Whether the caller may do that with a path that is no resource's."""
    if verb.lower() not in {"get", "head"}:
        return caller.may(Role.ADMIN) and verb == ANY
    return path in OPEN or (caller.may(Role.VIEWER) and _is_among(path, PATHS))


def rules_of(caller: Principal) -> list[dict[str, Any]]:
    """All that the caller may do with resources, as ResourceRules."""
    return [
        {"verbs": rule.verbs, "apiGroups": [GROUP], "resources": rule.resources}
        for rule in RULES
        if caller.may(rule.role)
    ]


def paths_of(caller: Principal) -> tuple[str, ...]:
    """All that the caller may get besides resources."""
    return (*OPEN, *PATHS) if caller.may(Role.VIEWER) else OPEN


def _rule(caller: Principal, verb: str, resource: str) -> Rule | None:
    return next((r for r in RULES if resource in r.resources and verb in r.verbs and caller.may(r.role)), None)


def _is_among(path: str, known: Sequence[str]) -> bool:
    return any(path == one or (one.endswith("*") and path.startswith(one[:-1])) for one in known)
