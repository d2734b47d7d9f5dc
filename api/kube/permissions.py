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
_CONDITIONS: Final = "of a status, conditions of types of one's own"
_EVENT_GROUPS: Final = ("", "events.k8s.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """From this role on, these verbs on these resources."""

    role: Role
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    groups: tuple[str, ...] = (GROUP,)
    note: str = ""

    def covers(self, caller: Principal, verb: str, target: "Target") -> bool:
        """Whether it lets the caller do that."""
        there = target.group in self.groups and target.resource in self.resources
        return there and verb in self.verbs and caller.may(self.role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A resource in its group; a subresource is `nodes/status`."""

    group: str
    resource: str


RULES: Final = (
    Rule(role=Role.VIEWER, resources=("nodes", "commands"), verbs=_READ),
    Rule(role=Role.VIEWER, resources=("nodes/status", "commands/status"), verbs=("get",)),
    Rule(role=Role.OPERATOR, resources=("commands",), verbs=(*_CHANGE, *_MAKE)),
    Rule(
        role=Role.OPERATOR,
        resources=("nodes",),
        verbs=_CHANGE,
        note="an operator may cordon and uncordon, and nothing else",
    ),
    Rule(role=Role.ADMIN, resources=("nodes",), verbs=_MAKE),
    Rule(role=Role.OPERATOR, resources=("commands/status",), verbs=_CHANGE, note=_CONDITIONS),
    Rule(role=Role.ADMIN, resources=("nodes/status",), verbs=_CHANGE, note=_CONDITIONS),
    Rule(role=Role.VIEWER, resources=("namespaces",), verbs=("get", "list"), groups=("",)),
    Rule(role=Role.VIEWER, resources=("events",), verbs=("get", "list"), groups=_EVENT_GROUPS),
    Rule(
        role=Role.OPERATOR,
        resources=("events",),
        verbs=("create", "delete", "patch", "update"),
        groups=_EVENT_GROUPS,
    ),
)
_TARGETS: Final = tuple(
    dict.fromkeys(Target(group=g, resource=r) for rule in RULES for g in rule.groups for r in rule.resources)
)
PATHS: Final = ("/api", "/api/*", "/apis", "/apis/*", "/openapi/*", "/version", "/metrics", "/metrics/*")
"""What a viewer may get besides resources."""
OPEN: Final = ("/health", "/livez", "/readyz")
"""What everybody may."""


def allowed(caller: Principal, verb: str, group: str, resource: str, subresource: str = "") -> tuple[bool, str]:
    """Whether the caller may do that, and what there is to say about it. `*` stands for all there are.

    kubectl asks for everything as `*` in no group.
    """
    groups = {group} if group != ANY and (group, resource) != ("", ANY) else {t.group for t in _TARGETS}
    wanted = f"{resource}/{subresource}" if subresource else resource
    targets = [t for t in _TARGETS if t.group in groups and _stands_for(wanted, t.resource)]
    if not targets:
        return False, "there is no such resource"
    rules = [_rule(caller, one, target) for target in targets for one in _verbs(verb, resource, target)]
    if not rules or not all(rules):
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
        {"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources}
        for rule in RULES
        if caller.may(rule.role)
    ]


def paths_of(caller: Principal) -> tuple[str, ...]:
    """All that the caller may get besides resources."""
    return (*OPEN, *PATHS) if caller.may(Role.VIEWER) else OPEN


def _verbs(verb: str, resource: str, target: Target) -> tuple[str, ...]:
    """The verb, or all that the target has; of everything, those count that have the verb at all."""
    there = (rule for rule in RULES if target.group in rule.groups and target.resource in rule.resources)
    known = tuple(name for rule in there for name in rule.verbs)
    if verb == ANY:
        return known
    return (verb,) if verb in known or resource != ANY else ()


def _stands_for(wanted: str, resource: str) -> bool:
    """`*` is everything, `*/status` the status of everything."""
    return wanted in {resource, ANY} or (wanted.startswith(f"{ANY}/") and resource.endswith(wanted[1:]))


def _rule(caller: Principal, verb: str, target: Target) -> Rule | None:
    return next((rule for rule in RULES if rule.covers(caller, verb, target)), None)


def _is_among(path: str, known: Sequence[str]) -> bool:
    return any(path == one or (one.endswith("*") and path.startswith(one[:-1])) for one in known)
