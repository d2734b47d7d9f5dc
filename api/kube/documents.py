"""Documents that change with the program only: discovery and OpenAPI. Clients keep them, and ask if they are new."""

import hashlib
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_LENGTH: Final = 32


def hash_of(body: bytes) -> str:
    """What names these bytes among their versions."""
    return hashlib.sha256(body).hexdigest()[:_LENGTH]


def document(request: Request, body: bytes, media: str) -> Response:
    """The document, or 304 to whoever has it already."""
    tag = f'"{hash_of(body)}"'
    headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media, headers=headers)
