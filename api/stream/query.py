"""What a client may ask of the stream: which types, and from where on."""

import re
from collections.abc import Mapping
from typing import Final

from api.errors import bad_request
from api.stream.events import DOCUMENTED, KNOWN

_TYPES: Final = re.compile(r"[a-z_]{1,64}(?:,[a-z_]{1,64}){0,31}")
_MAX_ID: Final = 128


def wanted_types(text: str | None) -> frozenset[str]:
    """Return the types that `?types=a,b` names; the document's where it is not given. Raises APIError (400)."""
    if not text:
        return DOCUMENTED
    if not _TYPES.fullmatch(text):
        raise bad_request("types is a list of event types with commas between: types=node_updated,command_result")
    types = frozenset(text.split(","))
    if unknown := sorted(types - KNOWN):
        raise bad_request(f"types: there is no {', '.join(unknown[:3])}; there are {', '.join(sorted(KNOWN))}")
    return types


def last_event_id(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """Return the id of the last event that the client has seen. The header, which EventSource itself sets, wins."""
    given = headers.get("last-event-id") or query.get("last_event_id")
    return given[:_MAX_ID] if given else None
