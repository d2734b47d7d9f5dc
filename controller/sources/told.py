"""What a declarative source has to say, one entry a reason: what `kubectl get events` shows of it. In memory.

One server looks at the source; it tells the others, so that each of them can say it.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from controller.bulletin import Bulletin, Unread, Value
from controller.nodelog import Happening

TOPIC: Final = "source"


class SourceLog:
    """The newest happening of each reason, here and at other servers."""

    def __init__(self, bulletin: Bulletin = Unread()) -> None:  # noqa: B008 - it has no state
        self._bulletin = bulletin
        self._happenings: dict[str, Happening] = {}
        bulletin.listen(TOPIC, self._heard)

    def note(self, reason: str, message: str, *, warning: bool, at: datetime) -> None:
        """Take note of something that happens, perhaps again."""
        old = self._happenings.get(reason)
        if old is None:
            new = Happening(reason=reason, message=message, warning=warning, first=at, last=at)
        else:
            new = replace(old, message=message, last=max(at, old.last), count=old.count + 1)
        self._happenings[reason] = new
        post: Value = {
            "message": message,
            "warning": warning,
            "count": new.count,
            "first": new.first.timestamp(),
            "last": new.last.timestamp(),
        }
        self._bulletin.post(TOPIC, reason, post)

    def all(self) -> tuple[Happening, ...]:
        """Everything, what is new last."""
        return tuple(sorted(self._happenings.values(), key=lambda h: h.last))

    def _heard(self, reason: str, member: str, value: Value | None) -> None:
        """Another server looks at the source, and goes on counting from here when this one does again."""
        del member
        match value:
            case {
                "message": str(message),
                "warning": bool(warning),
                "count": int(count),
                "first": int(first) | float(first),
                "last": int(last) | float(last),
            }:
                new = Happening(
                    reason=reason,
                    message=message,
                    warning=warning,
                    first=datetime.fromtimestamp(first, UTC),
                    last=datetime.fromtimestamp(last, UTC),
                    count=count,
                )
                old = self._happenings.get(reason)
                if old is None or new.last > old.last:
                    self._happenings[reason] = new
            case _:
                pass
