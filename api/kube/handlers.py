"""Handlers of `/apis/vendetta.dev/v1/{nodes,commands}` (contract G), the same for every kind."""

from dataclasses import replace
from typing import Any, Final

from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api.encoding import Encoder, Latest
from api.errors import APIError, bad_request, conflict, not_found
from api.kube.apply import APPLY_PATCH, Application, wish_of
from api.kube.decoding import Decoded, decode
from api.kube.encoding import encode_list, encode_object
from api.kube.kinds import Change, Served, named
from api.kube.patches import JSON_PATCH, PATCHES, JSONPatch, MergePatch
from api.kube.selection import Selection, selection_of
from api.kube.watch import watch
from api.messages import JSON, admission_of, caller_of, check_type, context_of, object_of
from api.messages import warning as warning_header
from api.parameters import flag, number, text
from controller.admission import Admission, Caller, IdTaken, Unknown
from controller.resources.meta import GROUP, Resource
from controller.store.base import Expired

_LONGEST_MANAGER: Final = 128


class Handlers:
    """One kind's handlers."""

    def __init__(self, served: Served, encoder: Encoder) -> None:
        self._served, self._encoder, self._whole = served, encoder, Latest()

    async def create(self, request: Request) -> Response:
        """201 with the object as stored; a command runs later (G-2)."""
        decoded = await self._decode(request)
        obj = named(decoded.obj)
        if obj.metadata.resource_version:
            raise bad_request("metadata.resourceVersion must not be set on an object to be created")
        created = await self._served.create(_admission(request), obj, _caller(request))
        return self._answer(request, created, 201, _dropped(request, decoded))

    async def get(self, request: Request) -> Response:
        """The object."""
        name = request.path_params["name"]
        found = await context_of(request).store.read(self._served.kind, name)
        if found is None:
            raise self._missing(name)
        return self._answer(request, found)

    async def list(self, request: Request) -> Response:
        """The objects, or what changes about them with `watch`."""
        selection = selection_of(request)
        context = context_of(request)
        if flag(request, "watch"):
            return await watch(request, self._served.kind, selection, self._encoder)
        _check_revision(request, context.store.revision())
        if request.scope["query_string"]:
            return _json(self._list(request, selection))
        key = (context.store.uid, context.store.revision())
        return _json(self._whole.get(key, lambda: self._list(request, selection)))

    def _list(self, request: Request, selection: Selection) -> bytes:
        page = context_of(request).store.list(
            self._served.kind,
            selector=selection.labels,
            limit=number(request, "limit"),
            cursor=text(request, "continue"),
        )
        items = [obj for obj in page.items if selection.has_name(obj)]
        meta: dict[str, Any] = {"resourceVersion": str(page.revision)}
        if page.next is not None:
            meta |= {"continue": page.next, "remainingItemCount": page.remaining}
        return encode_list(self._encoder, self._served.kind, to_json(meta), items)

    async def replace(self, request: Request) -> Response:
        """Replace the object's wish; with a resourceVersion only that version (409)."""
        decoded = await self._decode(request)
        asked: Resource = decoded.obj

        def change(old: Resource) -> Resource:
            _check_identity(old, asked, request.path_params["name"])
            return asked

        return await self._update(request, change, asked.metadata.resource_version, _dropped(request, decoded))

    async def patch(self, request: Request) -> Response:
        """Change by JSON merge patch (RFC 7396), JSON patch (RFC 6902) or server-side apply."""
        kind = check_type(request, PATCHES)
        body = await request.body()
        if kind == APPLY_PATCH:
            return await self._apply(request, body)
        patch = JSONPatch(body) if kind == JSON_PATCH else MergePatch(body)
        strict = _strict(request)

        def change(old: Resource) -> Resource:
            decoded: Decoded[Resource] = decode(
                self._served.model, patch.on(from_json(encode_object(old))), strict=strict
            )
            _check_identity(old, decoded.obj, request.path_params["name"])
            return decoded.obj

        return await self._update(request, change, patch.version, {})

    async def _apply(self, request: Request, body: bytes) -> Response:
        """Server-side apply: 201 where there was nothing of that name."""
        name, manager = request.path_params["name"], text(request, "fieldManager")
        if not manager:
            raise bad_request("fieldManager is required for apply patches")
        application = Application(
            model=self._served.model,
            name=name,
            body=wish_of(body, self._served.model, name),
            manager=manager,
            force=flag(request, "force"),
            strict=_strict(request),
            now=context_of(request).clock.now(),
        )
        caller, headers = replace(_caller(request), applies=True), dict[str, str]()

        def change(old: Resource | None) -> Resource:
            decoded = application.on(old)
            headers.update(_dropped(request, decoded))
            obj: Resource = decoded.obj
            return obj

        try:
            if self._there(request) is None:
                created = await self._served.create(_admission(request), change(None), caller)
                return self._answer(request, created, 201, headers)
        except IdTaken:
            if self._there(request) is None:
                raise
        return await self._update(request, change, application.version, headers, caller)

    async def delete(self, request: Request) -> Response:
        """Remove the object: a Status that says so."""
        name = request.path_params["name"]
        await self._check_preconditions(request, name)
        try:
            gone = await self._served.delete(_admission(request), name, caller_of(request))
        except Unknown:
            raise self._missing(name) from None
        details = {"name": name, "group": GROUP, "kind": self._served.plural, "uid": gone.uid}
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return _json(to_json(status))

    async def _decode(self, request: Request) -> Decoded[Any]:
        check_type(request, (JSON,))
        body = object_of(await request.body())
        return decode(self._served.model, body, strict=_strict(request))

    def _there(self, request: Request) -> Resource | None:
        return context_of(request).store.get(self._served.kind, request.path_params["name"])

    async def _update(
        self, request: Request, change: Change, version: str, headers: dict[str, str], caller: Caller | None = None
    ) -> Response:
        name = request.path_params["name"]
        try:
            stored = await self._served.update(_admission(request), name, change, caller or _caller(request), version)
        except Unknown:
            raise self._missing(name) from None
        return self._answer(request, stored, 200, headers)

    async def _check_preconditions(self, request: Request, name: str) -> None:
        """The uid and version that DeleteOptions name, if there are any."""
        body = await request.body()
        if not body:
            return
        wanted = object_of(body).get("preconditions")
        found = context_of(request).store.get(self._served.kind, name)
        if not isinstance(wanted, dict) or found is None:
            return
        for key, actual in (("uid", found.uid), ("resourceVersion", found.metadata.resource_version)):
            if wanted.get(key) not in {None, actual}:
                raise conflict(f"the precondition on {key} does not hold: read the object again")

    def _missing(self, name: str) -> APIError:
        error = not_found(f"{self._served.plural}.{GROUP}", name[:128])
        error.details = {"name": name[:128], "group": GROUP, "kind": self._served.plural}
        return error

    def _answer(
        self, request: Request, obj: Resource, status: int = 200, headers: dict[str, str] | None = None
    ) -> Response:
        """The object; one that was only rehearsed must not be taken for the version it was made from."""
        rehearsed = text(request, "dryRun") is not None
        return _json(encode_object(obj) if rehearsed else self._encoder.encode(obj), status, headers)


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers={"Cache-Control": "no-store", **(headers or {})}, media_type=JSON)


def _admission(request: Request) -> Admission:
    """The gate, or with `dryRun` one behind which nothing is stored."""
    admission = admission_of(request)
    return admission.rehearsal() if text(request, "dryRun") else admission


def _caller(request: Request) -> Caller:
    """Who asks, and which program: the field manager that it names, or what it calls itself."""
    agent = request.headers.get("user-agent", "").partition("/")[0]
    manager = text(request, "fieldManager") or "".join(c for c in agent if c.isprintable())[:_LONGEST_MANAGER]
    return replace(caller_of(request), manager=manager or "unknown")


def _strict(request: Request) -> bool:
    return text(request, "fieldValidation") in {None, "Strict"}


def _dropped(request: Request, decoded: Decoded[Any]) -> dict[str, str]:
    """The warning about unknown fields, where the client wants one."""
    if not decoded.dropped or text(request, "fieldValidation") != "Warn":
        return {}
    return warning_header(", ".join(f'unknown field "{name}"' for name in decoded.dropped))


def _check_identity(old: Resource, asked: Resource, name: str) -> None:
    if asked.metadata.name not in {"", name}:
        raise bad_request("metadata.name is not the name in the path")
    if asked.metadata.uid not in {"", old.uid}:
        raise conflict("the object's uid is another: it was removed and created again")


def _check_revision(request: Request, newest: int) -> None:
    """A revision that does not exist (any more): the store began anew, so the client must, too."""
    wanted = text(request, "resourceVersion")
    if wanted is not None and int(wanted) > newest:
        raise Expired(f"revision {wanted} is not there: list again")
