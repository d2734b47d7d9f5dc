"""DeleteOptions: under which conditions an object goes, and whether it really does."""

from typing import Annotated, Literal

from pydantic import Field
from starlette.requests import Request

from api.errors import conflict
from api.parameters import text
from controller.resources.meta import Resource
from controller.resources.types import Integral, Model


class Preconditions(Model):
    """What must be true of the object."""

    uid: str | None = None
    resource_version: str | None = None

    def check(self, obj: Resource) -> None:
        """Raises APIError (409) where it is not."""
        for name, wanted, actual in (
            ("uid", self.uid, obj.uid),
            ("resourceVersion", self.resource_version, obj.metadata.resource_version),
        ):
            if wanted not in {None, actual}:
                raise conflict(f"the precondition on {name} does not hold: read the object again")


class DeleteOptions(Model):
    """The body of a deletion. Nothing here belongs to an object, so that every propagation policy is the same."""

    api_version: str | None = None
    kind: Literal["DeleteOptions"] | None = None
    dry_run: tuple[Literal["All"], ...] = ()
    preconditions: Preconditions = Field(default_factory=Preconditions)
    propagation_policy: Literal["Orphan", "Background", "Foreground"] | None = None
    orphan_dependents: bool | None = None
    grace_period_seconds: Annotated[int, Field(ge=0, le=2**63 - 1), Integral] | None = None


async def options_of(request: Request) -> DeleteOptions:
    """The options, from the body and the query. Raises ValidationError."""
    body = await request.body()
    options = DeleteOptions.model_validate_json(body) if body else DeleteOptions()
    return options.model_copy(update={"dry_run": ("All",)}) if text(request, "dryRun") else options
