"""Makes one check, from here or from the node, whichever leads to the service."""

from controller.resources.node import Node
from controller.resources.service import Check, Service
from controller.services.fromnode import FromNode
from controller.services.targets import NoTarget, is_made_on_node, place_of, request_of
from transports.checks import Checks, Outcome


class Performer:
    """Knows both ways."""

    def __init__(self, checks: Checks, from_node: FromNode) -> None:
        self._checks = checks
        self._from_node = from_node

    async def perform(self, node: Node, service: Service) -> Outcome:
        """How the service answers its check now."""
        assert service.check is not None
        try:
            if is_made_on_node(node, service):
                return await self._from_node.check(node, service, service.check)
            return await self._from_here(node, service, service.check)
        except NoTarget as error:
            return Outcome(good=None, message=str(error), lasting=True)

    async def _from_here(self, node: Node, service: Service, check: Check) -> Outcome:
        """From here; where nothing leads there, from the node, if that knows better."""
        if check.http is not None:
            outcome = await self._checks.http(request_of(node, service, check.http), timeout=check.limit)
        else:
            outcome = await self._checks.tcp(place_of(node, service), timeout=check.limit)
        if not outcome.no_way or check.via != "auto" or not self._from_node.is_there(node):
            return outcome
        there = await self._from_node.check(node, service, check)
        return outcome if there.good is None else there

    def forget(self, node_uid: str) -> None:
        """Drop a node that is gone."""
        self._from_node.forget(node_uid)

    async def aclose(self) -> None:
        """Close what is held."""
        await self._checks.aclose()
