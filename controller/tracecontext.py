"""Where a command stands in a trace, as W3C Trace Context writes it: `00-<trace>-<parent>-<flags>`.

The request that makes a command notes its own place in an annotation. The command's span, whose id follows from the
command's uid, is below that, and what the node starts is below the command's.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from controller.resources.command import Command
from controller.resources.meta import GROUP

TRACEPARENT: Final = f"{GROUP}/traceparent"
"""The annotation with the request's place. It stays as it was when the command was made."""
VARIABLE: Final = "TRACEPARENT"
"""The variable that tells a program its place, as OpenTelemetry has it for environments."""
_PLACE: Final = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
_NOWHERE: Final = "0" * 32


def span_id_of(uid: str) -> int:
    """The id of the command's span: known before the span is made, and the same after a restart of the server."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8]) or 1


def environment_of(command: Command) -> Mapping[str, str]:
    """What the command's environment says of its place; nothing where nobody follows it."""
    found = _PLACE.fullmatch(command.metadata.annotations.get(TRACEPARENT, ""))
    if found is None or found[1] == _NOWHERE:
        return {}
    return {VARIABLE: f"00-{found[1]}-{span_id_of(command.uid):016x}-{found[2]}"}
