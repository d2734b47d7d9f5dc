"""Errors as kube-apiserver words them: about which object, and in `details` what kubectl prints them from."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Final, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from api.errors import KNOWN, APIError, translate
from api.kube.kinds import Served
from controller.admission import Stale
from controller.resources.meta import GROUP, VERSION
from controller.store.base import Conflict

NAME: Final = "vendetta.kube.name"
"""Where the scope holds the name in a body, once it is known."""
_SHOWN: Final = 128
_MODIFIED: Final = "the object has been modified; please apply your changes to the latest version and try again"


class Serving(Protocol):
    """Whose handlers are about objects of one kind."""

    served: Served


S = TypeVar("S", bound=Serving)
Handler = Callable[[S, Request], Awaitable[Response]]


def about_objects(handler: Handler[S]) -> Handler[S]:
    """The handler, with its errors worded."""

    @wraps(handler)
    async def worded(self: S, request: Request) -> Response:
        try:
            return await handler(self, request)
        except KNOWN as error:
            raise _told(self.served, request, error) from error

    return worded


def _told(served: Served, request: Request, error: Exception) -> APIError:
    name = str(request.path_params.get("name") or request.scope.get(NAME, ""))[:_SHOWN]
    subject = _Subject(served=served, name=name)
    return subject.word(translate(error, kube=True), stale=isinstance(error, Stale | Conflict))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    served: Served
    name: str

    def word(self, error: APIError, *, stale: bool) -> APIError:
        """The same error. Kubernetes names the resource; only where an object is invalid, its kind."""
        qualified = f"{self.served.plural}.{GROUP}"
        message = error.message.replace(f'{self.served.singular} "', f'{qualified} "', 1)
        match error.reason:
            case "Invalid" if "kind" not in error.details:
                told = error.message.partition(": ")[2] or error.message
                whole = f'{self.served.kind}.{GROUP} "{self.name}" is invalid: {told}'
                return replace(error, message=whole, details=self._details(self.served.kind))
            case "Conflict" if not error.causes:
                why = _MODIFIED if stale else error.message
                whole = f'Operation cannot be fulfilled on {qualified} "{self.name}": {why}'
                return replace(error, message=whole, details=self._details(self.served.plural))
            case "Forbidden":
                whole = f'{qualified} "{self.name}" is forbidden: {error.message}'
                return replace(error, message=whole, details=self._details(self.served.plural))
            case "AlreadyExists":
                return replace(error, message=message, details=self._details(self.served.plural))
            case "NotFound" if "group" not in error.details:
                kind = str(error.details.get("kind", "")).removesuffix(f".{GROUP}")
                return replace(error, details={**error.details, "group": GROUP, "kind": kind})
            case "BadRequest" if error.message.startswith("strict decoding error"):
                kind = self.served.kind
                whole = f'{kind} in version "{VERSION}" cannot be handled as a {kind}: {error.message}'
                return replace(error, message=whole)
        return error

    def _details(self, kind: str) -> dict[str, Any]:
        return {"name": self.name, "group": GROUP, "kind": kind}
