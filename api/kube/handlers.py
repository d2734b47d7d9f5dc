"""Handlers of `/apis/vendetta.dev/v1/{nodes,commands}` (contract G), the same for every kind."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api.encoding import Latest
from api.errors import APIError, bad_request, not_found
from api.kube.apply import APPLY_PATCH, Application, wish_of
from api.kube.decoding import Decoded, decode
from api.kube.deleting import DeleteOptions, options_of, orphan
from api.kube.encoding import encode_object
from api.kube.kinds import NAMES, Change, Served, is_nameless, named
from api.kube.listing import check_options, found, metadata_of
from api.kube.negotiation import Form
from api.kube.patches import JSON_PATCH, PATCHES, JSONPatch, MergePatch
from api.kube.selection import Selection, selection_of
from api.kube.showing import MANY, ONE, Encoders, Showing, Whole, encoders, showing
from api.kube.subject import NAME, about_objects
from api.kube.watch import watch
from api.kube.writing import admission_for, check_identity, is_strict, json_answer, warnings, writer_of
from api.messages import JSON, admission_of, caller_of, check_type, context_of, object_of
from api.parameters import flag, text
from controller.admission import AdmissionError, Caller, IdTaken, Unknown
from controller.resources.meta import GROUP, Resource


class Handlers:
    """One kind's handlers."""

    def __init__(self, served: Served, kept: Encoders) -> None:
        self.served, self._kept, self._whole = served, kept, Latest()

    @about_objects
    async def create(self, request: Request) -> Response:
        """201 with the object as stored; a command runs later (G-2)."""
        show = self.show(request)
        decoded = await self._decode(request)
        if decoded.obj.metadata.resource_version:
            raise bad_request("metadata.resourceVersion must not be set on an object to be created")
        created = await self._create(request, decoded.obj)
        return json_answer(show.one(created), 201, warnings(request, decoded.dropped))

    async def _create(self, request: Request, obj: Resource) -> Resource:
        """Store it. A name that was made for it and is taken already is made anew, some times."""
        admission, writer = admission_for(request), writer_of(request)
        for _ in range(NAMES - 1 if is_nameless(obj) else 0):
            with suppress(IdTaken):
                return await self.served.create(admission, named(obj), writer)
        return await self.served.create(admission, named(obj), writer)

    @about_objects
    async def get(self, request: Request) -> Response:
        """The object."""
        name = request.path_params["name"]
        show, obj = self.show(request), context_of(request).store.get(self.served.kind, name)
        if obj is None:
            raise self.missing(name)
        return json_answer(show.one(obj))

    @about_objects
    async def list(self, request: Request) -> Response:
        """The objects, or what changes about them with `watch`."""
        check_options(request)
        selection = selection_of(request, self.served)
        context = context_of(request)
        if flag(request, "watch"):
            return await watch(request, self.served.kind, selection, self.show(request))
        show = self.show(request, MANY)
        if request.scope["query_string"] or not isinstance(show, Whole):
            return json_answer(await self._list(request, selection, show))
        key = (context.store.uid, context.store.revision())
        body = self._whole.get(key)
        if body is None:
            body = self._whole.keep(key, await self._list(request, selection, show))
        return json_answer(body)

    async def _list(self, request: Request, selection: Selection, show: Showing) -> bytes:
        page = found(request, self.served.kind, selection)
        return await show.many(metadata_of(page, selection), page.items)

    @about_objects
    async def replace(self, request: Request) -> Response:
        """Replace the object's wish; with a resourceVersion only that version (409)."""
        decoded = await self._decode(request)
        asked: Resource = decoded.obj

        def change(old: Resource) -> Resource:
            check_identity(old, asked, request.path_params["name"])
            return asked

        return await self._update(
            request, change, asked.metadata.resource_version, warnings(request, decoded.dropped)
        )

    @about_objects
    async def patch(self, request: Request) -> Response:
        """Change by JSON merge patch (RFC 7396), JSON patch (RFC 6902) or server-side apply."""
        kind = check_type(request, PATCHES)
        body = await request.body()
        if kind == APPLY_PATCH:
            return await self._apply(request, body)
        patch = JSONPatch(body) if kind == JSON_PATCH else MergePatch(body)
        strict, headers = is_strict(request), dict[str, str]()

        def change(old: Resource) -> Resource:
            decoded: Decoded[Resource] = decode(
                self.served.model, patch.on(from_json(encode_object(old))), strict=strict
            )
            check_identity(old, decoded.obj, request.path_params["name"])
            headers.update(warnings(request, decoded.dropped))
            return decoded.obj

        return await self._update(request, change, patch.version, headers)

    async def _apply(self, request: Request, body: bytes) -> Response:
        """Server-side apply: 201 where there was nothing of that name."""
        name, manager = request.path_params["name"], text(request, "fieldManager")
        if not manager:
            raise bad_request("fieldManager is required for apply patches")
        application = Application(
            model=self.served.model,
            name=name,
            body=wish_of(body, self.served.model, name),
            manager=manager,
            force=flag(request, "force"),
            strict=is_strict(request),
            now=context_of(request).clock.now(),
        )
        show, caller, headers = self.show(request), replace(writer_of(request), applies=True), dict[str, str]()

        def change(old: Resource | None) -> Resource:
            decoded = application.on(old)
            headers.update(warnings(request, decoded.dropped))
            obj: Resource = decoded.obj
            return obj

        try:
            if self._there(request) is None:
                created = await self.served.create(admission_for(request), change(None), caller)
                return json_answer(show.one(created), 201, headers)
        except IdTaken:
            if self._there(request) is None:
                raise
        return await self._update(request, change, application.version, headers, caller)

    @about_objects
    async def delete(self, request: Request) -> Response:
        """Remove the object: a Status that says so; the object itself where finalizers still hold it back."""
        name, show, options = request.path_params["name"], self.show(request), await options_of(request)
        try:
            gone = await self._remove(request, name, options)
        except Unknown:
            raise self.missing(name) from None
        if gone.metadata.finalizers:
            return json_answer(show.one(gone))
        details = {"name": name, "group": GROUP, "kind": self.served.plural, "uid": gone.uid}
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return json_answer(to_json(status))

    @about_objects
    async def delete_collection(self, request: Request) -> Response:
        """Remove what is selected: the list of what is gone. What cannot go does not keep the rest."""
        show, options = self.show(request, MANY), await options_of(request)
        check_options(request)
        selection = selection_of(request, self.served)
        page, gone, failed = found(request, self.served.kind, selection), list[Resource](), list[Exception]()
        for obj in page.items:
            try:
                gone.append(await self._remove(request, obj.name, options))
            except Unknown:
                continue
            except (APIError, AdmissionError) as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return json_answer(await show.many(metadata_of(page, selection), gone))

    async def _remove(self, request: Request, name: str, options: DeleteOptions) -> Resource:
        """Remove one object under these options. Raises Unknown, and what else admission raises."""
        admission = admission_of(request).rehearsal() if options.dry_run else admission_of(request)
        known = context_of(request).store.get(self.served.kind, name)
        if known is not None:
            options.preconditions.check(known)
            if options.orphans:
                await orphan(context_of(request), admission, known, writer_of(request))
        return await self.served.delete(admission, name, caller_of(request))

    async def _decode(self, request: Request) -> Decoded[Any]:
        check_type(request, (JSON,))
        body = object_of(await request.body())
        meta = body.get("metadata")
        request.scope[NAME] = meta.get("name") or meta.get("generateName", "") if isinstance(meta, dict) else ""
        return decode(self.served.model, body, strict=is_strict(request))

    def _there(self, request: Request) -> Resource | None:
        return context_of(request).store.get(self.served.kind, request.path_params["name"])

    async def _update(
        self, request: Request, change: Change, version: str, headers: dict[str, str], caller: Caller | None = None
    ) -> Response:
        name, show = request.path_params["name"], self.show(request)
        try:
            stored = await self.served.update(
                admission_for(request), name, change, caller or writer_of(request), version
            )
        except Unknown:
            raise self.missing(name) from None
        return json_answer(show.one(stored), 200, headers)

    def missing(self, name: str) -> APIError:
        """404 in Kubernetes' words."""
        error = not_found(f"{self.served.plural}.{GROUP}", name[:128])
        error.details = {"name": name[:128], "group": GROUP, "kind": self.served.plural}
        return error

    def show(self, request: Request, forms: tuple[Form, ...] = ONE) -> Showing:
        """How to answer: asked before anything is done, for it may be refused.

        An object that was only rehearsed must not be taken for the version that it was made from.
        """
        rehearsed = text(request, "dryRun") is not None
        return showing(request, self.served.kind, encoders() if rehearsed else self._kept, forms)
