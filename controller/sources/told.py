"""What a declarative source has to say, one entry a reason: what `kubectl get events` shows of it. In memory."""

from dataclasses import replace
from datetime import datetime

from controller.nodelog import Happening


class SourceLog:
    """The newest happening of each reason."""

    def __init__(self) -> None:
        self._happenings: dict[str, Happening] = {}

    def note(self, reason: str, message: str, *, warning: bool, at: datetime) -> None:
        """Take note of something that happens, perhaps again."""
        old = self._happenings.get(reason)
        if old is None:
            self._happenings[reason] = Happening(reason=reason, message=message, warning=warning, first=at, last=at)
        else:
            self._happenings[reason] = replace(old, message=message, last=max(at, old.last), count=old.count + 1)

    def all(self) -> tuple[Happening, ...]:
        """Everything, what is new last."""
        return tuple(sorted(self._happenings.values(), key=lambda h: h.last))
