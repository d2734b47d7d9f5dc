"""Who asks, as far as admission cares."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`admin` may change everything, `operator` may send, cancel and cordon, a node acts for its own uid only.

    `trusted_local`: authentication is off and the raw peer is this machine (contract E-6). `manager` is the program
    that writes, if it has a name for managedFields; `applies`: its changes say themselves who owns what, as those of
    server-side apply do. `traceparent`: where the request stands in a trace, if somebody follows it.
    """

    name: str
    admin: bool = False
    operator: bool = False
    node_uid: str | None = None
    trusted_local: bool = False
    manager: str = ""
    applies: bool = False
    traceparent: str = ""

    def acts_for(self, uid: str) -> bool:
        """Whether this caller may speak as the node with that uid."""
        return self.admin or (self.node_uid is not None and self.node_uid == uid)
