"""The client: the resource API as plain methods. It speaks HTTP to one server and knows nothing else."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self
from urllib.parse import quote

import httpx2

from api.cli.answers import checked, headers_of, json_of, no_contact
from api.cli.connection import Connection
from api.cli.errors import Expired, Failed, NotFound
from api.cli.kinds import API, Kind
from api.cli.lines import Lines

PAGE: Final = 500
_TIMEOUT: Final = httpx2.Timeout(30, connect=5)
_STREAM_TIMEOUT: Final = httpx2.Timeout(60, connect=5)
_LONGEST_WATCH: Final = 3600
MERGE_PATCH: Final = "application/merge-patch+json"

Object = dict[str, Any]


def path_of(kind: Kind, name: str | None = None) -> str:
    """The path of a kind, or of one object."""
    return f"{API}/{kind.plural}" + (f"/{quote(name, safe='')}" if name is not None else "")


class Client:
    """A connection to one server, to be used as a context manager. Every method raises CLIError."""

    def __init__(self, connection: Connection) -> None:
        self.url = connection.url
        self._http = httpx2.Client(
            base_url=connection.url, headers=headers_of(connection), timeout=_TIMEOUT, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def request(
        self, method: str, path: str, *, body: Any = None, kind: str = "application/json", **params: str
    ) -> httpx2.Response:
        """Any request, its answer unchecked. Raises Unreachable."""
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": kind}
        try:
            return self._http.request(method, path, content=content, headers=headers, params=params)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise no_contact(error, self.url) from None

    def get(self, kind: Kind, name: str) -> Object:
        """One object. Raises NotFound."""
        return json_of(self.request("GET", path_of(kind, name)), self.url)

    def list(self, kind: Kind, **query: str) -> Object:
        """All objects that the selectors in the query pick, as one list, however many pages it takes."""
        params = {"limit": str(PAGE)} | query
        page = json_of(self.request("GET", path_of(kind), **params), self.url)
        items, first = list(page.get("items") or []), page
        while token := page.get("metadata", {}).get("continue"):
            page = json_of(self.request("GET", path_of(kind), **params, **{"continue": token}), self.url)
            items += page.get("items") or []
        metadata = {"resourceVersion": first.get("metadata", {}).get("resourceVersion", "")}
        for item in items:  # as in Kubernetes, the items of a list may leave out what the list says
            item.setdefault("apiVersion", first.get("apiVersion"))
            item.setdefault("kind", kind.name)
        return {
            "apiVersion": first.get("apiVersion"),
            "kind": f"{kind.name}List",
            "metadata": metadata,
            "items": items,
        }

    def timeline(self, command: str) -> Object:
        """What happened to a command; empty where the server does not tell. Raises CLIError."""
        try:
            path = f"/api/v1/commands/{quote(command, safe='')}/timeline"
            return json_of(self.request("GET", path), self.url)
        except NotFound:
            return {}

    def create(self, kind: Kind, obj: Object, **params: str) -> Object:
        """Store a new object. Raises Conflict where the name is taken."""
        return json_of(self.request("POST", path_of(kind), body=obj, **params), self.url)

    def patch(self, kind: Kind, name: str, patch: Object, **params: str) -> Object:
        """Merge a patch into an object (RFC 7396)."""
        return json_of(self.request("PATCH", path_of(kind, name), body=patch, kind=MERGE_PATCH, **params), self.url)

    def replace(self, kind: Kind, obj: Object) -> Object:
        """Store a changed object. Raises Conflict when it is not the newest any more."""
        return json_of(self.request("PUT", path_of(kind, obj["metadata"]["name"]), body=obj), self.url)

    def delete(self, kind: Kind, name: str, *, uid: str = "", **params: str) -> None:
        """Remove an object. Raises NotFound, and Conflict where it is another one than that with the uid."""
        body = {"preconditions": {"uid": uid}} if uid else None
        checked(self.request("DELETE", path_of(kind, name), body=body, **params), self.url)

    def watch(
        self, kind: Kind, version: str, *, query: Mapping[str, str] = {}, seconds: int | None = None
    ) -> Iterator[tuple[str, Object]]:
        """Changes after that version: (ADDED | MODIFIED | DELETED | BOOKMARK, object), until the server ends it.

        After so many seconds it does, if they are given. A silence of a minute ends it too. Raises Expired when the
        version is too old to go on from. `query` holds selectors.
        """
        params = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        params |= {"timeoutSeconds": str(min(seconds, _LONGEST_WATCH))} if seconds else {}
        try:
            with self.stream(path_of(kind), **params, **query) as response:
                lines = Lines()
                for data in response.iter_bytes():
                    yield from map(self._event, lines.feed(data))
        except httpx2.ReadTimeout:
            return

    def _event(self, line: bytes) -> tuple[str, Object]:
        event = json.loads(line)
        if event.get("type") == "ERROR":
            status = event.get("object", {})
            error = Expired if status.get("code") == 410 else Failed
            raise error(str(status.get("message", "the watch failed")))
        return str(event["type"]), event["object"]

    @contextmanager
    def stream(self, path: str, *, accept: str = "", **params: str) -> Iterator[httpx2.Response]:
        """A response that is read while it comes. ReadTimeout passes, other failures raise Unreachable."""
        headers = {"Accept": accept} if accept else {}
        try:
            with self._http.stream("GET", path, params=params, headers=headers, timeout=_STREAM_TIMEOUT) as response:
                if not response.is_success:
                    response.read()
                yield checked(response, self.url)
        except httpx2.ReadTimeout:
            raise
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise no_contact(error, self.url) from None
