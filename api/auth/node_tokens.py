"""Tokens for nodes: what a machine gets when it joins, and when it renews (contract E-5)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from api.auth.principal import Role
from api.auth.tokens import mint
from api.errors import conflict
from controller.duration import SECOND
from controller.resources.node import Node
from controller.settings import AuthSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeToken:
    """A token for one node, and until when it counts."""

    token: str
    expires: datetime


def check_secret(settings: AuthSettings) -> None:
    """Raises APIError (409) where no token can be signed: to be asked before anything is used up for one."""
    if not settings.jwt_secret.get_secret_value():
        raise conflict("auth.jwt_secret is empty, so that no token can be signed: set it first")


def mint_for(node: Node, settings: AuthSettings, now: datetime) -> NodeToken:
    """A new token for that node, also in the very second in which its earlier ones were revoked."""
    revoked = node.status.tokens_revoked_at
    issued = now if revoked is None else max(now, revoked + timedelta(seconds=1))
    seconds = settings.node_token_expiry // SECOND
    token = mint(
        settings.jwt_secret.get_secret_value(),
        subject=node.name,
        role=Role.NODE,
        node=node.uid,
        expiry_seconds=max(1, seconds),
        now=issued,
    )
    return NodeToken(token=token, expires=datetime.fromtimestamp(int(issued.timestamp()) + max(1, seconds), UTC))
