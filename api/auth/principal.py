"""Who is calling, and what a role may do (contract E-5)."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Roles, from least to most. `node` stands apart: it acts only for its own node."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    NODE = "node"


_RANK = {Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller. `node_uid` is set for role node. `local`: the raw socket peer is loopback.

    `token_id`, `issued` and `expires` (seconds since 1970) are those of the token that was shown, None where there
    was none. `node_name` is what the node of that uid is called.
    """

    name: str
    role: Role
    node_uid: str | None = None
    node_name: str | None = None
    token_id: str | None = None
    local: bool = False
    issued: int | None = None
    expires: int | None = None

    def may(self, needed: Role) -> bool:
        """Whether this caller's role includes the one needed."""
        return _RANK.get(self.role, 0) >= _RANK.get(needed, 99)
