"""DeleteOptions: under which conditions an object goes, and whether it really does."""

from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request

from api.context import Context
from api.errors import conflict
from api.messages import validated
from api.parameters import text
from controller.admission import Admission, Caller
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
    """The body of a deletion. What belongs to the object goes after it (Foreground is the same here) or, with Orphan,
    belongs to nobody from then on.
    """

    api_version: str | None = None
    kind: Literal["DeleteOptions"] | None = None
    dry_run: tuple[Literal["All"], ...] = ()
    preconditions: Preconditions = Field(default_factory=Preconditions)
    propagation_policy: Literal["Orphan", "Background", "Foreground"] | None = None
    orphan_dependents: bool | None = None
    grace_period_seconds: Annotated[int, Field(ge=0, le=2**63 - 1), Integral] | None = None

    @property
    def orphans(self) -> bool:
        """Whether what belongs to the object is to stay."""
        return self.propagation_policy == "Orphan" or bool(self.orphan_dependents)


async def orphan(context: Context, admission: Admission, owner: Resource, caller: Caller) -> None:
    """Take the owner out of everything that belongs to it."""

    def disown(obj: Resource) -> Any:
        kept = tuple(ref for ref in obj.metadata.owner_references if ref.uid != owner.uid)
        return obj.model_copy(update={"metadata": obj.metadata.model_copy(update={"owner_references": kept})})

    for kind, gate in (("Node", admission.nodes), ("Command", admission.commands)):
        for obj in context.store.list(kind).items:
            if any(ref.uid == owner.uid for ref in obj.metadata.owner_references):
                await gate.update(obj.name, disown, caller)


async def options_of(request: Request) -> DeleteOptions:
    """The options, from the body and the query. Raises ValidationError."""
    body = await request.body()
    options = validated(DeleteOptions, body) if body else DeleteOptions()
    if text(request, "dryRun"):
        options = options.model_copy(update={"dry_run": ("All",)})
    policy = text(request, "propagationPolicy")
    return options.model_copy(update={"propagation_policy": policy}) if policy else options
