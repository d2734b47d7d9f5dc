"""Discovery: which groups, versions and resources there are (`/apis` and below), as Kubernetes clients ask for it."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from api.kube.kinds import Served
from api.messages import answer
from controller.resources.meta import API_VERSION, GROUP, VERSION

_VERBS: Final = ["create", "delete", "get", "list", "patch", "update", "watch"]
_OFFERED: Final = {"groupVersion": API_VERSION, "version": VERSION}
_GROUP: Final[dict[str, Any]] = {"name": GROUP, "versions": [_OFFERED], "preferredVersion": _OFFERED}


class Discovery:
    """The documents of discovery."""

    def __init__(self, kinds: Sequence[Served]) -> None:
        self._resources = [
            {
                "name": served.plural,
                "singularName": served.singular,
                "namespaced": False,
                "kind": served.kind,
                "verbs": _VERBS,
                "shortNames": list(served.short_names),
            }
            for served in kinds
        ]

    async def groups(self, _request: Request) -> Response:
        """The one group."""
        return answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": [_GROUP]})

    async def group(self, _request: Request) -> Response:
        """Its versions."""
        return answer({"kind": "APIGroup", "apiVersion": "v1", **_GROUP})

    async def resources(self, _request: Request) -> Response:
        """Its resources."""
        return answer(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION, "resources": self._resources}
        )
