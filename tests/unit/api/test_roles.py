"""What a server answers, by its role (`server.role`)."""

import asyncio

import pytest

from api.app import build_app
from tests.support.api import ask, make_context


@pytest.mark.parametrize(("role", "answers"), [("all", True), ("api", True), ("controller", False)])
def test_a_controller_answers_no_requests_for_nodes(role: str, answers: bool) -> None:
    """Nor any other but for health and metrics."""

    async def scene() -> None:
        app = build_app(await make_context(server={"role": role}))
        for target in ("/api/v1/nodes", "/apis/vendetta.dev/v1/nodes", "/openapi.json", "/ws"):
            assert ((await ask(app, target=target)).status != 404) is answers
        assert (await ask(app, target="/metrics/prometheus")).status != 404

    asyncio.run(scene())
