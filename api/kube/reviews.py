"""What callers may ask about themselves: `kubectl auth whoami` and `kubectl auth can-i`.

Reviews are created and never stored; their answer is in their status.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response

from api.auth.principal import Principal
from api.kube import permissions, protobuf
from api.kube.discovery import Group, Offer
from api.kube.negotiation import PLAIN, negotiate
from api.kube.parameters import WRITING
from api.messages import JSON, answer, check_type, object_of
from api.routing import Operation, Path, principal_of
from controller.resources.types import Text

Status = dict[str, Any]


class _Body(BaseModel):
    """Fields that a newer client knows are none of a question's."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


class ResourceAttributes(_Body):
    """Something to be done with a resource."""

    namespace: Text = ""
    verb: Text = ""
    group: Text = ""
    version: Text = ""
    resource: Text = ""
    subresource: Text = ""
    name: Text = ""


class NonResourceAttributes(_Body):
    """Something to be done with a path."""

    path: Text = ""
    verb: Text = ""


class Question(_Body):
    """The spec of a review."""

    namespace: Text = ""
    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None


class Review(_Body):
    """The body of a review."""

    spec: Question = Field(default_factory=Question)


_TEXTS: Final = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
_RESOURCE: Final[protobuf.Layout] = {number: (name, None) for number, name in enumerate(_TEXTS, 1)}
_PATH: Final[protobuf.Layout] = {1: ("path", None), 2: ("verb", None)}
_ACCESS: Final[protobuf.Layout] = {
    2: ("spec", {1: ("resourceAttributes", _RESOURCE), 2: ("nonResourceAttributes", _PATH)})
}
_RULES: Final[protobuf.Layout] = {2: ("spec", {1: ("namespace", None)})}
_SUBJECT: Final[protobuf.Layout] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of review."""

    group: str
    kind: str
    layout: protobuf.Layout
    review: Callable[[Principal, Question], Status]

    @property
    def plural(self) -> str:
        """As in its path."""
        return f"{self.kind.lower()}s"

    def handler(self) -> Callable[[Request], Awaitable[Response]]:
        """The answer to a question, at once."""

        async def create(request: Request) -> Response:
            """Answer; nothing is stored."""
            negotiate(request, (PLAIN,))
            media = check_type(request, (JSON, protobuf.MEDIA))
            body = await request.body()
            given = object_of(body) if media == JSON else protobuf.decode(body, self.layout)
            question = Review.model_validate(given).spec
            whole = {
                "kind": self.kind,
                "apiVersion": f"{self.group}/v1",
                "metadata": {"creationTimestamp": None},
                "spec": question.model_dump(by_alias=True, exclude_defaults=True),
                "status": self.review(principal_of(request.scope), question),
            }
            return answer(whole, 201)

        return create


def _who(caller: Principal, _question: Question) -> Status:
    """The caller, and what is known about it."""
    extra: dict[str, list[str]] = {"vendetta.dev/role": [caller.role.value]}
    if caller.node_uid is not None:
        extra["vendetta.dev/node-uid"] = [caller.node_uid]
    if caller.token_id:
        extra["authentication.kubernetes.io/credential-id"] = [f"JTI={caller.token_id}"]
    groups = [f"vendetta:{caller.role.value}", "system:authenticated"]
    return {"userInfo": {"username": caller.name, "groups": groups, "extra": extra}}


def _may(caller: Principal, question: Question) -> Status:
    """Whether that is permitted."""
    if (path := question.non_resource_attributes) is not None:
        return {"allowed": permissions.allowed_path(caller, path.verb, path.path)}
    wish = question.resource_attributes or ResourceAttributes()
    permitted, reason = permissions.allowed(caller, wish.verb, wish.group, wish.resource, wish.subresource)
    return {"allowed": permitted, **({"reason": reason} if reason else {})}


def _rules(caller: Principal, _question: Question) -> Status:
    """Everything that is permitted."""
    paths = {"verbs": ["get"], "nonResourceURLs": permissions.paths_of(caller)}
    rules = permissions.rules_of(caller)
    return {"resourceRules": rules, "nonResourceRules": [paths], "incomplete": False}


_KINDS: Final = (
    Kind(group="authentication.k8s.io", kind="SelfSubjectReview", layout=_SUBJECT, review=_who),
    Kind(group="authorization.k8s.io", kind="SelfSubjectAccessReview", layout=_ACCESS, review=_may),
    Kind(group="authorization.k8s.io", kind="SelfSubjectRulesReview", layout=_RULES, review=_rules),
)


def review_groups() -> tuple[Group, ...]:
    """For discovery."""
    names = dict.fromkeys(kind.group for kind in _KINDS)
    return tuple(Group(name=name, version="v1", offers=tuple(_offers(name))) for name in names)


def _offers(group: str) -> Iterator[Offer]:
    for kind in _KINDS:
        if kind.group == group:
            yield Offer(plural=kind.plural, singular=kind.kind.lower(), kind=kind.kind, verbs=("create",))


def review_paths() -> Iterator[Path]:
    """Their routes. Whoever got past the door may ask about itself."""
    for kind in _KINDS:
        operation = Operation(
            handler=kind.handler(),
            summary=f"Create a {kind.kind}",
            role=None,
            body=_schema(),
            body_others={protobuf.MEDIA: {"type": "string", "format": "binary"}},
            parameters=WRITING,
            responses={201: ("The review with its status.", _schema("status"), JSON)},
        )
        yield Path(template=f"/apis/{kind.group}/v1/{kind.plural}", tag="kubernetes", operations={"POST": operation})


def _schema(*required: str) -> dict[str, Any]:
    return {"type": "object", "required": [*required], "properties": {"spec": {"type": "object"}}}
