"""Lists of the flat API: label selectors, filters, and pages that hold what was asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.messages import JSON, context_of
from api.parameters import number, text
from controller.resources.meta import Resource
from controller.store.selector import Selector

R = TypeVar("R", bound=Resource)

MAX_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[R]):
    """A page: `next` continues it, `revision` is what it shows."""

    items: Sequence[R]
    next: str | None
    revision: int


def selector_of(request: Request) -> Selector | None:
    """The label selector asked for. Raises SelectorError."""
    given = text(request, "labelSelector")
    return None if given is None else Selector.parse(given)


def collect(request: Request, model: type[R], wanted: Callable[[R], bool] | None) -> Found[R]:
    """The objects that pass both the selector and the filter (None: all do), at most `limit` of them."""
    store, kind = context_of(request).store, model.__name__
    selector, limit, cursor = selector_of(request), number(request, "limit"), text(request, "continue")
    if wanted is None:
        whole = store.list(kind, selector=selector, limit=limit, cursor=cursor)
        return Found(items=cast("Sequence[R]", whole.items), next=whole.next, revision=whole.revision)
    items: list[R] = []
    while True:
        page = store.list(kind, selector=selector, limit=max(0, limit - len(items)), cursor=cursor)
        items += [obj for obj in page.items if isinstance(obj, model) and wanted(obj)]
        cursor = page.next
        if cursor is None or not limit or len(items) >= limit:
            return Found(items=items, next=cursor, revision=page.revision)


def listed(name: str, views: Sequence[bytes], found: Found[Any]) -> bytes:
    """The document's list: the objects, their count, and how to go on."""
    more = {} if found.next is None else {"continue": found.next}
    rest = to_json({"count": len(views), **more, "resource_version": str(found.revision)})
    return b'{"%s":[%s],%s' % (name.encode(), b",".join(views), rest[1:])


def listing(body: bytes) -> Response:
    """A list as a response."""
    return Response(body, media_type=JSON)
