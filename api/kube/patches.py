"""The patches that change an object as it is now: JSON merge patch and JSON patch."""

from typing import Any, Final

from api.errors import bad_request
from api.kube import jsonpatch
from api.kube.apply import APPLY_PATCH
from api.messages import MERGE_PATCH, merge_patch, object_of

JSON_PATCH: Final = "application/json-patch+json"
PATCHES: Final = (MERGE_PATCH, JSON_PATCH, APPLY_PATCH)
"""What is understood. There is no strategic merge patch: Kubernetes has none for kinds of this sort either."""


def version_of(body: dict[str, Any]) -> str:
    """The resourceVersion in an object's metadata, if it is there."""
    metadata = body.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""


class MergePatch:
    """RFC 7396."""

    def __init__(self, body: bytes) -> None:
        """Raises APIError (400)."""
        self._patch = object_of(body)
        self.version = version_of(self._patch)

    def on(self, whole: Any) -> dict[str, Any]:
        """The object with the patch applied."""
        merged: dict[str, Any] = merge_patch(whole, self._patch)
        return merged


class JSONPatch:
    """RFC 6902. It locks by a `test` operation, or by replacing metadata.resourceVersion."""

    def __init__(self, body: bytes) -> None:
        """Raises APIError (400)."""
        self._operations = jsonpatch.parse(body)
        versions = [
            operation.get("value")
            for operation in self._operations
            if operation["path"] == "/metadata/resourceVersion"
        ]
        self.version = versions[-1] if versions and isinstance(versions[-1], str) else ""

    def on(self, whole: Any) -> dict[str, Any]:
        """The object with the patch applied. Raises APIError (422; 400 where no object is left)."""
        patched = jsonpatch.patched(whole, self._operations)
        if not isinstance(patched, dict):
            raise bad_request("after the patch there is no object any more")
        return patched
