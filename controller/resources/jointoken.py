"""JoinToken: lets one machine enrol itself as a node, once. The server's own; no API shows it as a resource."""

from typing import Literal

from pydantic import Field

from controller.resources.meta import Labels, Resource
from controller.resources.types import Model, Timestamp


class JoinTokenSpec(Model):
    """What the token is good for. `digest` is the SHA-256 of its secret; the secret itself is stored nowhere."""

    digest: str
    made_at: Timestamp
    expires: Timestamp
    node: str | None = None
    """The only node that may use it; it may be taken over then."""
    node_uid: str | None = None
    """That node's uid, where it was there when the token was made: no later node of that name is meant."""
    labels: Labels = Field(default_factory=dict)
    """What the node gets, whatever it says itself."""
    made_by: str = ""


class JoinUse(Model):
    """Who used the token. `key_digest` is the SHA-256 of what the joiner drew, so that it may ask again."""

    node: str
    uid: str
    at: Timestamp
    key_digest: str = ""


class JoinTokenStatus(Model):
    """Whether it has been used."""

    used: JoinUse | None = None


class JoinToken(Resource):
    """A one-time token by which a machine becomes a node. Its name is the token's public part."""

    kind: Literal["JoinToken"] = "JoinToken"
    spec: JoinTokenSpec
    status: JoinTokenStatus = JoinTokenStatus()
