"""Discovery: which groups, versions and resources there are, as Kubernetes clients ask for it.

`/api` and `/apis` answer in two ways: names, which clients follow to `/apis/GROUP/VERSION`, or everything at once
(aggregated discovery) for those who ask for an APIGroupDiscoveryList.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.kube.documents import document
from api.kube.kinds import Served
from api.kube.negotiation import PLAIN, Form, negotiate
from api.messages import JSON, answer, context_of
from api.routing import Handler
from controller.resources.meta import GROUP, VERSION

MINOR: Final = 32
"""The version of Kubernetes' conventions that this face follows: clients judge by it what they may ask for."""
_AGGREGATED: Final = tuple(
    Form(kind="APIGroupDiscoveryList", group="apidiscovery.k8s.io", version=version) for version in ("v2", "v2beta1")
)
_FORMS: Final = (PLAIN, *_AGGREGATED)

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A resource, as discovery tells of it."""

    plural: str
    singular: str
    kind: str
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = False
    status_verbs: tuple[str, ...] = ()
    """What can be done with its `/status`."""

    @classmethod
    def of(cls, served: Served) -> "Offer":
        """What is served of a kind."""
        return cls(
            plural=served.plural,
            singular=served.singular,
            kind=served.kind,
            verbs=served.verbs,
            short_names=served.short_names,
            categories=("all",),
            status_verbs=served.status_verbs,
        )

    def plain(self) -> Iterator[Body]:
        """As an APIResource, and one more for its status."""
        yield self._plain()
        if self.status_verbs:
            status = {"name": f"{self.plural}/status", "singularName": "", "namespaced": self.namespaced}
            yield {**status, "kind": self.kind, "verbs": self.status_verbs}

    def _plain(self) -> Body:
        names = {"shortNames": self.short_names, "categories": self.categories}
        return {
            "name": self.plural,
            "singularName": self.singular,
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": self.verbs,
            **{key: value for key, value in names.items() if value},
        }

    def aggregated(self, group: "Group") -> Body:
        """As an APIResourceDiscovery."""
        response = {"group": group.name, "version": group.version, "kind": self.kind}
        status = {"subresource": "status", "responseKind": response, "verbs": self.status_verbs}
        return {
            "resource": self.plural,
            "responseKind": response,
            "scope": "Namespaced" if self.namespaced else "Cluster",
            "singularResource": self.singular,
            "verbs": self.verbs,
            "shortNames": self.short_names,
            "categories": self.categories,
            **({"subresources": [status]} if self.status_verbs else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group with its one version. The group without a name is Kubernetes' own, at `/api/v1`."""

    name: str
    version: str
    offers: tuple[Offer, ...] = ()

    @property
    def group_version(self) -> str:
        """As in apiVersion."""
        return f"{self.name}/{self.version}" if self.name else self.version

    @property
    def root(self) -> str:
        """Where its resources are."""
        return f"/apis/{self.group_version}" if self.name else f"/api/{self.version}"

    def named(self) -> Body:
        """As in a list of groups."""
        version = {"groupVersion": self.group_version, "version": self.version}
        return {"name": self.name, "versions": [version], "preferredVersion": version}

    def aggregated(self) -> Body:
        """With everything in it."""
        resources = [offer.aggregated(self) for offer in self.offers]
        version = {"version": self.version, "resources": resources, "freshness": "Current"}
        return {"metadata": {"name": self.name, "creationTimestamp": None}, "versions": [version]}


_EVENTS: Final = Offer(
    plural="events",
    singular="event",
    kind="Event",
    verbs=("create", "delete", "get", "list", "patch", "update"),
    short_names=("ev",),
    namespaced=True,
)
_NAMESPACES: Final = Offer(
    plural="namespaces", singular="namespace", kind="Namespace", verbs=("get", "list"), short_names=("ns",)
)
CORE: Final = Group(name="", version="v1", offers=(_EVENTS, _NAMESPACES))
"""`/api/v1` is the flat API's; of Kubernetes' resources there, only events and their namespace are offered."""
EVENTS: Final = Group(name="events.k8s.io", version="v1", offers=(_EVENTS,))


def own_group(kinds: Sequence[Served]) -> Group:
    """The group of the kinds that are served."""
    return Group(name=GROUP, version=VERSION, offers=tuple(Offer.of(served) for served in kinds))


def core_versions() -> Handler:
    """`/api`."""
    return _chooser({"kind": "APIVersions", "versions": [CORE.version], "serverAddressByClientCIDRs": []}, (CORE,))


def group_list(groups: Sequence[Group]) -> Handler:
    """`/apis`."""
    listed = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group.named() for group in groups]}
    return _chooser(listed, groups)


def one_group(group: Group) -> Handler:
    """`/apis/GROUP`."""
    return _fixed({"kind": "APIGroup", "apiVersion": "v1", **group.named()})


def resource_list(group: Group) -> Handler:
    """`/apis/GROUP/VERSION`."""
    resources = [resource for offer in group.offers for resource in offer.plain()]
    return _fixed(
        {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group.group_version,
            "resources": resources,
        }
    )


async def version(request: Request) -> Response:
    """What this is, in the fields that Kubernetes has for it."""
    ours = context_of(request).version
    return answer(
        {
            "major": "1",
            "minor": str(MINOR),
            "gitVersion": f"v1.{MINOR}.0+vendetta-{ours}",
            "gitCommit": "",
            "gitTreeState": "",
            "buildDate": "",
            "goVersion": "",
            "compiler": "",
            "platform": "",
        }
    )


def _fixed(content: Body) -> Handler:
    body = to_json(content)

    async def handler(request: Request) -> Response:
        negotiate(request, (PLAIN,))
        return document(request, body, JSON)

    return handler


def _chooser(names: Body, groups: Sequence[Group]) -> Handler:
    """Names, or everything at once."""
    items = [group.aggregated() for group in groups]
    bodies = {PLAIN: to_json(names)}
    for form in _AGGREGATED:
        whole = {"kind": form.kind, "apiVersion": form.api_version, "metadata": {}, "items": items}
        bodies[form] = to_json(whole)

    async def handler(request: Request) -> Response:
        form = negotiate(request, _FORMS)
        return document(request, bodies[form], form.content_type)

    return handler
