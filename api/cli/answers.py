"""What the server's answers mean: good ones become JSON, bad ones one sentence (shared by both HTTP clients)."""

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import httpx2

from api.cli.connection import Connection
from api.cli.errors import CLIError, Conflict, Expired, Failed, NotFound, Refused, Unreachable

_ERRORS: Final[dict[int, type[CLIError]]] = {
    401: Refused,
    403: Refused,
    404: NotFound,
    409: Conflict,
    410: Expired,
    412: Conflict,
    502: Unreachable,
    503: Unreachable,
    504: Unreachable,
}
_NOT_TLS: Final = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE"}
_TO_LOG_IN: Final = "give a token with --token-file or VENDETTA_TOKEN"


def headers_of(connection: Connection) -> dict[str, str]:
    """The headers of every request."""
    agent = {"User-Agent": "vendetta-cli"}
    return agent | ({"Authorization": f"Bearer {connection.token}"} if connection.token else {})


def checked(response: httpx2.Response, url: str) -> httpx2.Response:
    """The response, if it is a good one; its body must have been read. Raises CLIError."""
    if response.is_success:
        return response
    if response.is_redirect:
        raise Failed(
            f"the server at {url} sends us elsewhere ({response.headers.get('Location', '?')}): use that URL"
        )
    if response.status_code == 404 and not _names_an_object(response):
        asked = response.request.url.copy_with(query=None)
        raise Failed(f"there is nothing at {asked}: is {url} the URL of a Vendetta server?")
    message = _message(response) or f"the server at {url} answered {response.status_code} {response.reason_phrase}"
    if response.status_code == 401:
        message = f"{message}: {_TO_LOG_IN}"
    raise _ERRORS.get(response.status_code, Failed)(message)


def _message(response: httpx2.Response) -> str:
    """The sentence in a Kubernetes Status or in the flat API's error."""
    return str(_problem(response).get("message") or "").rstrip(".")


def _names_an_object(response: httpx2.Response) -> bool:
    """Whether an object is missing; where it is not said which, it is the path that makes no sense."""
    details = _problem(response).get("details")
    return isinstance(details, dict) and "name" in details


def _problem(response: httpx2.Response) -> dict[str, Any]:
    """The Kubernetes Status, or the flat API's error; empty where there is neither."""
    try:
        body = response.json()
    except ValueError:
        return {}
    if not isinstance(body, dict):
        return {}
    error = body.get("error", body)
    return error if isinstance(error, dict) else {}


def json_of(response: httpx2.Response, url: str) -> dict[str, Any]:
    """The JSON object in a good response. Raises CLIError."""
    try:
        body = checked(response, url).json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Failed(f"the answer of {url} is not JSON: is that a Vendetta server?")
    return body


def no_contact(error: httpx2.HTTPError | httpx2.InvalidURL, url: str) -> Unreachable:
    """The one sentence for a server that is down."""
    advice = "start one with `vendetta coordination start`, or name another with --server or VENDETTA_SERVER"
    if (tls := _tls_error(error)) is not None:
        return Unreachable(f"cannot talk TLS with the server at {url}: {_tls_reason(tls, url)}")
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return Unreachable(f"cannot connect to the server at {url}: no answer in time; {advice}")
    if isinstance(error, httpx2.TimeoutException):
        return Unreachable(f"the server at {url} took too long to answer; see `vendetta coordination status`")
    if isinstance(error, httpx2.ConnectError):
        return Unreachable(f"cannot connect to the server at {url}: {_reason(error)}; {advice}")
    return Unreachable(f"the connection to the server at {url} broke: {_reason(error)}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _tls_error(error: Exception) -> ssl.SSLError | None:
    return next((cause for cause in _chain(error) if isinstance(cause, ssl.SSLError)), None)


def _tls_reason(error: ssl.SSLError, url: str) -> str:
    """An SSLError is an OSError too, but its number is none of the system's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not count: {error.verify_message}"
    if error.reason in _NOT_TLS:
        return f"it does not speak TLS there; perhaps it is {url.replace('https:', 'http:', 1)}"
    return (error.reason or str(error)).replace("_", " ").lower()


def _reason(error: Exception) -> str:
    """The system's own words for it, from the bottom of the chain."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno:
            # asyncio puts addresses into strerror, name look-ups have numbers of their own
            return (cause.strerror if isinstance(cause, socket.gaierror) else os.strerror(cause.errno)) or str(cause)
    return str(error) or type(error).__name__
