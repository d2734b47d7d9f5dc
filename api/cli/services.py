"""Services of nodes, as `get` shows them: read from `/api/v1/services`, for they are no kind of their own."""

from typing import Any

from api.cli.answers import json_of
from api.cli.client import Client
from api.cli.errors import NotFound
from api.cli.kinds import SERVICES
from api.cli.tables import Object


def named(words: list[str]) -> list[str] | None:
    """The names in `services a b` and `service/a service/b`; None where another kind is meant."""
    if words and words[0].lower() in SERVICES.words:
        return words[1:]
    pairs = [word.partition("/") for word in words]
    if words and all(kind.lower() in SERVICES.words and name for kind, _, name in pairs):
        return [name for _, _, name in pairs]
    return None


def services(client: Client, names: list[str], query: dict[str, str]) -> list[Object]:
    """All of them, or those of these names, in order of node and id. Raises NotFound, and other CLIErrors."""
    answer = json_of(client.request("GET", "/api/v1/services", **query), client.url)
    found = [_object(node, service) for node, those in sorted(answer["services"].items()) for service in those]
    if not names:
        return found
    chosen = [o for o in found if {o["metadata"]["name"], o["spec"]["displayName"]} & {*names}]
    known = {name for o in chosen for name in (o["metadata"]["name"], o["spec"]["displayName"])}
    if missing := [name for name in names if name not in known]:
        raise NotFound(f'service "{missing[0]}" not found')
    return chosen


def _object(node: str, service: dict[str, Any]) -> Object:
    """In the form of the other kinds; what is absent there is absent here."""
    status = {
        "status": service["status"],
        "stale": service.get("stale", False),
        "message": service.get("message"),
        "lastCheck": service.get("last_check"),
        "latency": service.get("latency"),
    }
    spec = {
        "node": node,
        "displayName": service["name"],
        "type": service["type"],
        "port": service["port"],
        "endpoint": service["endpoint"],
        "source": service.get("source"),
        "check": service.get("check"),
    }
    return {
        "kind": SERVICES.name,
        "metadata": {"name": service["id"]},
        "spec": {key: value for key, value in spec.items() if value is not None},
        "status": {key: value for key, value in status.items() if value is not None},
    }
