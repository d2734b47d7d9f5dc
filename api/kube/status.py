"""`/status` of an object: reading it is reading the object, writing it is saying what one has observed.

The status is the server's observation. Others add conditions of types of their own; what else a body holds, and all
that is not status, stays as it is, and a warning tells of what somebody wanted otherwise.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from api.kube.decoding import Decoded, decode_status
from api.kube.encoding import encode_object
from api.kube.handlers import Handlers
from api.kube.kinds import Served
from api.kube.patches import JSON_PATCH, JSONPatch, MergePatch, version_of
from api.kube.showing import Encoders
from api.kube.subject import about_objects
from api.kube.writing import admission_for, check_identity, is_strict, json_answer, warned, warnings, writer_of
from api.messages import JSON, MERGE_PATCH, check_type, object_of
from controller.admission import Unknown
from controller.admission.status import OWN
from controller.resources.meta import Resource

STATUS_PATCHES: Final = (MERGE_PATCH, JSON_PATCH)
_UNKNOWN_FIELDS: Final = "Warn"
"""By default, as in Kubernetes: programs that keep notes in a status get along without them."""


class StatusHandlers:
    """One kind's handlers of `/status`."""

    def __init__(self, served: Served, kept: Encoders) -> None:
        self.served, self._objects = served, Handlers(served, kept)

    async def get(self, request: Request) -> Response:
        """The object, as without `/status`."""
        return await self._objects.get(request)

    @about_objects
    async def replace(self, request: Request) -> Response:
        """Take the conditions of others from a whole object; with a resourceVersion only on that version (409)."""
        check_type(request, (JSON,))
        body = object_of(await request.body())
        return await self._observe(request, lambda _: body, version_of(body))

    @about_objects
    async def patch(self, request: Request) -> Response:
        """The same by JSON merge patch or JSON patch of the object."""
        kind = check_type(request, STATUS_PATCHES)
        body = await request.body()
        patch = JSONPatch(body) if kind == JSON_PATCH else MergePatch(body)
        return await self._observe(request, patch.on, patch.version)

    async def _observe(self, request: Request, asked_of: Callable[[Any], dict[str, Any]], version: str) -> Response:
        name, show, told = request.path_params["name"], self._objects.show(request), dict[str, str]()

        def change(old: Resource) -> Resource:
            whole = from_json(encode_object(old))
            decoded: Decoded[Any] = decode_status(
                self.served.model, asked_of(whole), whole, strict=is_strict(request, _UNKNOWN_FIELDS)
            )
            check_identity(old, decoded.obj, name)
            told.clear()
            told.update(warnings(request, decoded.dropped, _UNKNOWN_FIELDS) or warned(_left_alone(old, decoded.obj)))
            return decoded.obj  # type: ignore[no-any-return]

        try:
            stored = await self.served.observe(admission_for(request), name, change, writer_of(request), version)
        except Unknown:
            raise self._objects.missing(name) from None
        return json_answer(show.one(stored), 200, told)


def _left_alone(old: Any, asked: Any) -> Iterator[str]:
    """What was asked for and is not done, in words."""
    for name, field in type(old.status).model_fields.items():
        if name != "conditions" and getattr(asked.status, name) != getattr(old.status, name):
            yield f"status.{field.alias or name} is the server's own and stays as it is"
    known = {c.type: c for c in old.status.conditions}
    for condition in asked.status.conditions:
        if condition.type in OWN[old.kind] and condition != known.get(condition.type):
            yield f"the condition {condition.type} is the server's own and stays as it is"
