"""The http transport: an agent at the node's address, with a token or a client certificate (contract E-10)."""

import asyncio

import aiohttp

from transports.base import Endpoint, Session, SessionInfo
from transports.errors import AuthFailed, Unreachable
from transports.http.client import failure, open_client
from transports.http.foreign import ForeignSession
from transports.http.session import HTTPSession, read_json
from transports.verbs import checked
from transports.wire import Malformed, load


class HTTPTransport:
    """Implements `transports.base.Transport` over aiohttp.

    Where nothing answers for the run protocol but something is there, it is taken for an agent that offers only
    `POST /api/v1/execute`.
    """

    async def connect(self, endpoint: Endpoint) -> Session:
        """One attempt, at most `connect_timeout`. Raises `Unreachable` for what may pass, `Refused` for the rest."""
        client = await open_client(endpoint)
        try:
            async with asyncio.timeout(endpoint.connect_timeout):
                return await _greet(client, endpoint)
        except TimeoutError as exc:
            await client.close()
            raise Unreachable(
                f"the agent of node {endpoint.node} at {endpoint.address} port {endpoint.port} did not answer in "
                f"{endpoint.connect_timeout:g} s"
            ) from exc
        except (aiohttp.ClientError, OSError) as exc:
            await client.close()
            raise failure(exc, endpoint) from exc
        except BaseException:
            await client.close()
            raise

    async def aclose(self) -> None:
        """Nothing is held here: each session has a client of its own."""


async def _greet(client: aiohttp.ClientSession, endpoint: Endpoint) -> Session:
    async with client.get("/agent/v1/node", allow_redirects=False) as response:
        match response.status:
            case 200:
                return await HTTPSession.open(client, await _info(response, endpoint))
            case 404:
                return ForeignSession(client)
            case 401 | 403:
                raise AuthFailed(
                    f"the agent of node {endpoint.node} does not accept the credential (status {response.status}): "
                    "its token must be the one that `vendetta agent serve` was started with"
                )
            case status:
                raise Unreachable(f"the agent of node {endpoint.node} answered with status {status}: look at its log")


async def _info(response: aiohttp.ClientResponse, endpoint: Endpoint) -> SessionInfo:
    try:
        value = await read_json(response)
        return checked(load(SessionInfo, value.get("info") if isinstance(value, dict) else None))
    except Malformed as exc:
        raise Unreachable(
            f"what answers for node {endpoint.node} at {endpoint.address} port {endpoint.port} is no agent: {exc}"
        ) from exc
