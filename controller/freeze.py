"""Suspect ourselves: when many nodes go unreachable together, it is more likely that this server is cut off.

While more than `threshold` of the nodes that were reachable (five at least) have gone within one window, no new
command is delivered. Statuses of nodes stay what they are. It ends by itself when they are back, or were gone for
so long that the window has passed.
"""

from controller.runtime.clock import Clock

MINIMUM = 5


class Freeze:
    """Counts reachable nodes and recent losses. `window` is seconds."""

    def __init__(self, *, threshold: float, window: float, clock: Clock) -> None:
        self._threshold = threshold
        self._window = window
        self._clock = clock
        self._reachable: set[str] = set()
        self._lost: dict[str, float] = {}

    def note(self, uid: str, *, reachable: bool) -> None:
        """A probe has ended."""
        if reachable:
            self._reachable.add(uid)
            self._lost.pop(uid, None)
        elif uid in self._reachable:
            self._reachable.discard(uid)
            self._lost[uid] = self._clock.monotonic()

    def forget(self, uid: str) -> None:
        """A node is gone."""
        self._reachable.discard(uid)
        self._lost.pop(uid, None)

    @property
    def lost(self) -> int:
        """How many nodes went unreachable within the window and are not back."""
        horizon = self._clock.monotonic() - self._window
        self._lost = {uid: at for uid, at in self._lost.items() if at > horizon}
        return len(self._lost)

    @property
    def frozen(self) -> bool:
        """Whether deliveries are frozen now."""
        lost = self.lost
        before = len(self._reachable) + lost
        return before >= MINIMUM and lost > self._threshold * before
