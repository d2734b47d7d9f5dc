"""The route table of enrolment."""

from typing import Final

from api.auth.door import JOIN_PATH
from api.auth.principal import Role
from api.messages import JSON
from api.routing import Operation, Path
from api.v1 import enrolment
from api.v1.bodies import JoinRequest, JoinTokenRequest
from api.v1.views import JoinedView, JoinTokenListView, NewJoinTokenView, NodeTokenView, NodeView

PATHS: Final = (
    Path(
        template="/api/v1/join-tokens",
        tag="enrolment",
        operations={
            "GET": Operation(
                handler=enrolment.list_tokens,
                summary="List join tokens",
                role=Role.ADMIN,
                responses={200: ("Join tokens, without their secrets.", JoinTokenListView, JSON)},
            ),
            "POST": Operation(
                handler=enrolment.make_token,
                summary="Make a join token",
                role=Role.ADMIN,
                body=JoinTokenRequest,
                body_required=False,
                responses={201: ("The token; it is shown only now.", NewJoinTokenView, JSON)},
            ),
        },
    ),
    Path(
        template="/api/v1/join-tokens/{id}",
        tag="enrolment",
        operations={
            "DELETE": Operation(
                handler=enrolment.revoke_token,
                summary="Revoke a join token",
                role=Role.ADMIN,
                responses={204: ("Revoked.", None, JSON)},
            ),
        },
    ),
    Path(
        template=JOIN_PATH,
        tag="enrolment",
        operations={
            "POST": Operation(
                handler=enrolment.join,
                summary="Become a node, by a join token",
                role=None,
                body=JoinRequest,
                open=True,
                responses={
                    200: ("The node, and its token.", JoinedView, JSON),
                },
            ),
        },
    ),
    Path(
        template="/api/v1/nodes/{id}/token",
        tag="enrolment",
        operations={
            "POST": Operation(
                handler=enrolment.renew,
                summary="Renew a node's token",
                role=None,
                responses={200: ("Another token.", NodeTokenView, JSON)},
            ),
        },
    ),
    Path(
        template="/api/v1/nodes/{id}/revoke",
        tag="enrolment",
        operations={
            "POST": Operation(
                handler=enrolment.revoke_tokens,
                summary="Revoke all tokens of a node",
                role=Role.ADMIN,
                responses={200: ("The node.", NodeView, JSON)},
            ),
        },
    ),
)
