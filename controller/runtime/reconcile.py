"""The reconcile contract: one method, one result, one special error.

`reconcile(name)` reads the desired state, looks at the actual, takes one step, writes the status once. It is
level-triggered: it is told a name, never what happened, and may be called at any time and any number of times.

    Result()                    nothing to do until something changes
    Result(requeue_after=5)     look again then, if nothing changed before
    raise TerminalError         this will not get better by itself: log it, wait for a change
    raise anything else         try again with back-off
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a reconcile ends in. `requeue_after` is seconds; None waits for a change or the next resync."""

    requeue_after: float | None = None


class TerminalError(Exception):
    """Trying again makes no sense before something changes."""


class Reconciler(Protocol):
    """Makes the objects of one kind true."""

    async def reconcile(self, name: str) -> Result:
        """Take one step for the object of that name; an absent object is done."""
