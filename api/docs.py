"""The OpenAPI document at `/openapi.json`, and for people at `/docs`: one page, no script, nothing from elsewhere."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from html import escape
from typing import Any, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.messages import JSON, answer
from api.openapi import document
from api.routing import Operation, Path

Schema = dict[str, Any]

_STYLE: Final = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
details{border:1px solid #8884;border-radius:.4rem;margin:.4rem 0;padding:.4rem .8rem}summary{cursor:pointer}
code,pre{font:14px/1.45 ui-monospace,monospace}pre{overflow:auto;background:#8881;padding:.6rem;border-radius:.3rem}
.method{display:inline-block;min-width:4.5rem;font-weight:700}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #8884}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{_STYLE_HASH}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


async def _root(_request: Request) -> Response:
    """Where to go on from the bare address."""
    return answer(_PLACES)


_PLACES: Final = {"docs": "/docs", "openapi": "/openapi.json", "health": "/health"}
_ROOT: Final = Path(
    template="/",
    tag="documentation",
    operations={
        "GET": Operation(
            handler=_root,
            summary="Where to go on from here",
            responses={
                200: (
                    "Paths of this server.",
                    {
                        "type": "object",
                        "required": [*_PLACES],
                        "properties": {name: {"const": path} for name, path in _PLACES.items()},
                    },
                    JSON,
                )
            },
        )
    },
)


def documented(paths: Iterable[Path], *, version: str, auth: bool) -> tuple[Path, ...]:
    """The paths, and those that describe them all."""
    described: list[Path] = []

    @cache
    def written() -> tuple[bytes, bytes]:
        """The document and its page. A quarter of a second, which no start has to wait for."""
        whole = document(described, version=version, auth=auth)
        return to_json(whole), "".join(_page(whole)).encode()

    async def openapi(_request: Request) -> Response:
        """Every path, parameter, body and answer, in OpenAPI 3.1."""
        raw, _ = await asyncio.to_thread(written)
        return Response(raw, media_type=JSON, headers={"Cache-Control": "no-cache"})

    async def page(_request: Request) -> Response:
        """The same for people."""
        _, html = await asyncio.to_thread(written)
        return Response(html, media_type="text/html", headers={"Content-Security-Policy": _POLICY})

    described += paths
    if all(path.template != "/" for path in described):  # the event stream may be there
        described.append(_ROOT)
    described += [
        Path(
            template="/openapi.json",
            tag="documentation",
            operations={
                "GET": Operation(
                    handler=openapi,
                    summary="This document",
                    responses={200: ("OpenAPI 3.1.", {"type": "object"}, JSON)},
                )
            },
        ),
        Path(
            template="/docs",
            tag="documentation",
            operations={
                "GET": Operation(
                    handler=page, summary="This document for people", responses={200: ("A page.", None, "text/html")}
                )
            },
        ),
    ]
    return tuple(described)


def _page(whole: Schema) -> Iterator[str]:
    info = whole["info"]
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
    yield f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
    yield '<p><a href="openapi.json">openapi.json</a></p>'
    for tag in whole["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2>"
        for path, methods in whole["paths"].items():
            for method, operation in methods.items():
                if method != "parameters" and tag["name"] in operation["tags"]:
                    yield from _operation(path, method, operation)
    yield "<h2>schemas</h2>"
    for name, schema in whole["components"]["schemas"].items():
        anchor = escape(name, quote=True)
        yield f'<details id="{anchor}"><summary><code>{anchor}</code></summary>{_code(schema)}</details>'


def _operation(path: str, method: str, operation: Schema) -> Iterator[str]:
    yield f'<details><summary><span class="method">{method.upper()}</span> <code>{escape(path)}</code> '
    yield f"{escape(operation['summary'])}</summary><p>{escape(operation.get('description', ''))}</p>"
    if operation.get("parameters"):
        yield "<table><tr><th>parameter</th><th>in</th><th></th></tr>"
        for p in operation["parameters"]:
            name, description = escape(p["name"]), escape(p["description"])
            yield f"<tr><td><code>{name}</code></td><td>{p['in']}</td><td>{description}</td></tr>"
        yield "</table>"
    if "requestBody" in operation:
        yield f"<h4>body</h4>{_code(operation['requestBody']['content'])}"
    yield "<table><tr><th>answer</th><th></th></tr>"
    for status, reply in operation["responses"].items():
        yield f"<tr><td>{status}</td><td>{escape(reply['description'])}{_schema_of(reply)}</td></tr>"
    yield "</table></details>"


def _schema_of(reply: Schema) -> str:
    """A link to the answer's schema."""
    for media, content in reply.get("content", {}).items():
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if name:
            return f' <code>{escape(media)}</code> <a href="#{escape(name, quote=True)}">{escape(name)}</a>'
    return ""


def _code(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
