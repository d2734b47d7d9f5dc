"""In which form an answer goes out: what `Accept` asks for, as kube-apiserver reads it.

A clause may ask for another object than the usual one: `application/json;as=Table;g=meta.k8s.io;v=v1`. Clauses are
tried by quality and then as they stand; one that asks for what there is not is passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from starlette.requests import Request

from api.errors import APIError
from api.messages import JSON

META: Final = "meta.k8s.io"
_MAX_CLAUSES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A media type, and the kind of object to answer with; no kind: the one that the path is about."""

    media: str = JSON
    kind: str = ""
    group: str = ""
    version: str = ""

    @property
    def api_version(self) -> str:
        """Group and version of that kind."""
        return f"{self.group}/{self.version}"

    @property
    def content_type(self) -> str:
        """The media type with what was asked of it."""
        return f"{self.media};g={self.group};v={self.version};as={self.kind}" if self.kind else self.media


PLAIN: Final = Form()
TABLES: Final = tuple(Form(kind="Table", group=META, version=version) for version in ("v1", "v1beta1"))
PARTIALS: Final = tuple(
    Form(kind="PartialObjectMetadata", group=META, version=version) for version in ("v1", "v1beta1")
)
PARTIAL_LISTS: Final = tuple(
    Form(kind="PartialObjectMetadataList", group=META, version=version) for version in ("v1", "v1beta1")
)


def negotiate(request: Request, offered: Sequence[Form]) -> Form:
    """The form that the client likes best; the first one offered where it does not say. Raises APIError (406)."""
    given = [value for name, value in request.scope["headers"] if name == b"accept"]
    found = _choose(b",".join(given), tuple(offered)) if given else offered[0]
    if found is None:
        media = ", ".join(dict.fromkeys(form.media for form in offered))
        raise APIError(406, "NotAcceptable", f"only the following media types are accepted: {media}")
    return found


@lru_cache(maxsize=256)
def _choose(accept: bytes, offered: tuple[Form, ...]) -> Form | None:
    if not accept:
        return offered[0]
    for clause in _clauses(accept.decode("latin-1")):
        for form in offered:
            if clause.fits(form):
                return form
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clause:
    media: str
    wish: tuple[str, str, str]
    quality: float

    def fits(self, form: Form) -> bool:
        kind, _, rest = form.media.partition("/")
        return self.media in {f"{kind}/{rest}", f"{kind}/*", "*/*"} and self.wish == (
            form.kind,
            form.group,
            form.version,
        )

    def rank(self) -> tuple[float, bool, bool]:
        return (-self.quality, self.media.startswith("*"), self.media.endswith("/*"))


def _clauses(accept: str) -> list[_Clause]:
    """The clauses from the most to the least liked; what is not wanted at all (`q=0`) is left out."""
    found = (_clause(text) for text in accept.split(",")[:_MAX_CLAUSES])
    return sorted((clause for clause in found if clause.quality > 0), key=_Clause.rank)


def _clause(text: str) -> _Clause:
    media, *rest = (part.strip() for part in text.split(";"))
    given = {name.strip().lower(): value.strip() for name, _, value in (part.partition("=") for part in rest)}
    wish = (given.get("as", ""), given.get("g", ""), given.get("v", ""))
    return _Clause(media=media.lower(), wish=wish, quality=_quality(given.get("q", "1")))


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0
