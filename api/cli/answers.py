"""What the server's answers mean: good ones become JSON, bad ones one sentence (shared by both HTTP clients)."""

import os
import socket
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
    message = _message(response) or f"the server at {url} answered {response.status_code} {response.reason_phrase}"
    if response.status_code == 401:
        message = f"{message}: {_TO_LOG_IN}"
    raise _ERRORS.get(response.status_code, Failed)(message)


def _message(response: httpx2.Response) -> str:
    """The sentence in a Kubernetes Status or in the flat API's error."""
    try:
        body = response.json()
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else body.get("message")
    return str(message or "").rstrip(".")


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
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return Unreachable(f"cannot connect to the server at {url}: no answer in time; {advice}")
    if isinstance(error, httpx2.TimeoutException):
        return Unreachable(f"the server at {url} took too long to answer; see `vendetta coordination status`")
    if isinstance(error, httpx2.ConnectError):
        return Unreachable(f"cannot connect to the server at {url}: {_reason(error)}; {advice}")
    return Unreachable(f"the connection to the server at {url} broke: {_reason(error)}")


def _reason(error: Exception) -> str:
    """The system's own words for it, from the bottom of the chain."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            # asyncio puts addresses into strerror, name look-ups have numbers of their own
            return (cause.strerror if isinstance(cause, socket.gaierror) else os.strerror(cause.errno)) or str(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
