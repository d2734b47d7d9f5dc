"""Query parameters of the Kubernetes face."""

from typing import Final

from api.parameters import BOOLEAN, SELECTOR, Parameter

_VERSION: Final = {"type": "string", "pattern": "^[0-9]{0,18}$"}
_TEXT: Final = {"type": "string", "maxLength": 4096, "pattern": r"^[^\u0000]*$"}

COMMON: Final = (
    Parameter(name="pretty", description="Accepted, and ignored.", schema=_TEXT),
    Parameter(name="timeout", description="Accepted, and ignored: how long the client waits.", schema=_TEXT),
)
"""Of every request."""
READING: Final = (
    *COMMON,
    Parameter(
        name="includeObject",
        description="What a table's rows hold of their objects, for those who accept a table.",
        schema={"type": "string", "enum": ["None", "Metadata", "Object"]},
    ),
)
"""Of every request that is answered with objects."""
WRITING: Final = (
    *READING,
    Parameter(
        name="dryRun", description="`All`: answer as if it had happened.", schema={"type": "string", "enum": ["All"]}
    ),
    Parameter(
        name="fieldManager",
        description="The program that writes, as managedFields names it; by default the start of its User-Agent.",
        schema={"type": "string", "pattern": r"^[^\u0000-\u001f\u007f]*$", "maxLength": 128},
    ),
    Parameter(
        name="fieldValidation",
        description="What becomes of unknown fields: an error (Strict, the default), a warning, or nothing.",
        schema={"type": "string", "enum": ["Strict", "Warn", "Ignore"]},
    ),
)
FORCE: Final = Parameter(name="force", description="Apply: take fields from their owners.", schema=BOOLEAN)
SELECTING: Final = (
    Parameter(
        name="labelSelector",
        description="Kubernetes' label selector.",
        schema=SELECTOR,
        usual=True,
    ),
    Parameter(
        name="fieldSelector",
        description="By metadata.name and status.phase, of commands by spec.node, too; with `=`, `==` or `!=`.",
        schema={"type": "string", "pattern": r"^(?:metadata\.name==?[A-Za-z0-9][A-Za-z0-9._-]*)?$"},
        usual=True,
    ),
    Parameter(
        name="limit", description="At most so many.", schema={"type": "integer", "minimum": 0, "maximum": 10**9}
    ),
    Parameter(name="continue", description="Go on where the last page ended."),
    Parameter(name="resourceVersion", description="Watch from here; a list is never older.", schema=_VERSION),
    Parameter(
        name="resourceVersionMatch",
        description="Whether a list may be newer (NotOlderThan) or must not be (Exact).",
        schema={"type": "string", "enum": ["NotOlderThan", "Exact"]},
    ),
    Parameter(name="sendInitialEvents", description="Whether a watch begins with what is there.", schema=BOOLEAN),
)
"""Of requests about several objects."""
LISTING: Final = (
    *READING,
    *SELECTING,
    Parameter(name="watch", description="Stream what changes instead.", schema=BOOLEAN),
    Parameter(name="allowWatchBookmarks", description="Tell the revision now and then.", schema=BOOLEAN),
    Parameter(
        name="timeoutSeconds",
        description="End the stream after so long.",
        schema={"type": "integer", "minimum": 0, "maximum": 86_400, "example": 1},
    ),
)
DELETING: Final = (
    *WRITING,
    Parameter(
        name="propagationPolicy",
        description="What becomes of what belongs to the object: removed after it, or left alone (Orphan).",
        schema={"type": "string", "enum": ["Background", "Foreground", "Orphan"]},
    ),
    Parameter(
        name="gracePeriodSeconds",
        description="Accepted, and ignored.",
        schema={"type": "integer", "minimum": 0, "maximum": 10**9},
    ),
)
