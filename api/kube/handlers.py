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
from api.kube.deleting import options_of
from api.kube.encoding import encode_object
from api.kube.kinds import Change, Served, named
from api.kube.negotiation import Form
from api.kube.patches import JSON_PATCH, PATCHES, JSONPatch, MergePatch
from api.kube.selection import Selection, selection_of
from api.kube.showing import MANY, ONE, Showing, Whole, showing
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
        show = self._show(request)
        decoded = await self._decode(request)
        obj = named(decoded.obj)
        if obj.metadata.resource_version:
            raise bad_request("metadata.resourceVersion must not be set on an object to be created")
        created = await self._served.create(_admission(request), obj, _caller(request))
        return _json(show.one(created), 201, _dropped(request, decoded))

    async def get(self, request: Request) -> Response:
        """The object."""
        name = request.path_params["name"]
        found = await context_of(request).store.read(self._served.kind, name)
        if found is None:
            raise self._missing(name)
        return _json(self._show(request).one(found))

    async def list(self, request: Request) -> Response:
        """The objects, or what changes about them with `watch`."""
        selection = selection_of(request)
        context = context_of(request)
        if flag(request, "watch"):
            return await watch(request, self._served.kind, selection, self._show(request))
        _check_revision(request, context.store.revision())
        show = self._show(request, MANY)
        if request.scope["query_string"] or not isinstance(show, Whole):
            return _json(self._list(request, selection, show))
        key = (context.store.uid, context.store.revision())
        return _json(self._whole.get(key, lambda: self._list(request, selection, show)))

    def _list(self, request: Request, selection: Selection, show: Showing) -> bytes:
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
        return show.many(meta, items)

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
        show, caller, headers = self._show(request), replace(_caller(request), applies=True), dict[str, str]()

        def change(old: Resource | None) -> Resource:
            decoded = application.on(old)
            headers.update(_dropped(request, decoded))
            obj: Resource = decoded.obj
            return obj

        try:
            if self._there(request) is None:
                created = await self._served.create(_admission(request), change(None), caller)
                return _json(show.one(created), 201, headers)
        except IdTaken:
            if self._there(request) is None:
                raise
        return await self._update(request, change, application.version, headers, caller)

    async def delete(self, request: Request) -> Response:
        """Remove the object: a Status that says so."""
        name, options = request.path_params["name"], await options_of(request)
        admission = admission_of(request).rehearsal() if options.dry_run else admission_of(request)
        if (found := self._there(request)) is not None:
            options.preconditions.check(found)
        try:
            gone = await self._served.delete(admission, name, caller_of(request))
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
        name, show = request.path_params["name"], self._show(request)
        try:
            stored = await self._served.update(_admission(request), name, change, caller or _caller(request), version)
        except Unknown:
            raise self._missing(name) from None
        return _json(show.one(stored), 200, headers)

    def _missing(self, name: str) -> APIError:
        error = not_found(f"{self._served.plural}.{GROUP}", name[:128])
        error.details = {"name": name[:128], "group": GROUP, "kind": self._served.plural}
        return error

    def _show(self, request: Request, forms: tuple[Form, ...] = ONE) -> Showing:
        """How to answer: asked before anything is done, for it may be refused.

        An object that was only rehearsed must not be taken for the version that it was made from.
        """
        rehearsed = text(request, "dryRun") is not None
        return showing(request, self._served.kind, encode_object if rehearsed else self._encoder.encode, forms)


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
