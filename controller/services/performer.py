"""Makes one check, from here or from the node, whichever leads to the service."""

from controller.resources.node import Node
from controller.resources.service import Service
from controller.services.targets import NoTarget, is_made_on_node, place_of, request_of
from transports.checks import Checks, Outcome


class Performer:
    """Knows both ways."""

    def __init__(self, checks: Checks) -> None:
        self._checks = checks

    async def perform(self, node: Node, service: Service) -> Outcome:
        """How the service answers its check now."""
        try:
            if is_made_on_node(node, service):
                return Outcome(good=None, message="it can only be checked from its node", lasting=True)
            return await self._from_here(node, service)
        except NoTarget as error:
            return Outcome(good=None, message=str(error), lasting=True)

    async def _from_here(self, node: Node, service: Service) -> Outcome:
        check = service.check
        assert check is not None
        if check.http is not None:
            return await self._checks.http(request_of(node, service, check.http), timeout=check.limit)
        return await self._checks.tcp(place_of(node, service), timeout=check.limit)

    async def aclose(self) -> None:
        """Close what is held."""
        await self._checks.aclose()
