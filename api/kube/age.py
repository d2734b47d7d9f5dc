"""How long ago something was, as kubectl words it."""

from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_YEAR: Final = 365 * _DAY


def age(seconds: float) -> str:
    """At most two units, the second one only while it matters: `90s`, `5m30s`, `7h5m`, `3d4h`, `2y30d`.

    The steps are those of `k8s.io/apimachinery/pkg/util/duration.HumanDuration`.
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * _MINUTE:
        return f"{max(0, whole)}s"
    for below, unit, name, smaller, rest in (
        (10 * _MINUTE, _MINUTE, "m", 1, "s"),
        (3 * _HOUR, _MINUTE, "m", 0, ""),
        (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
        (2 * _DAY, _HOUR, "h", 0, ""),
        (8 * _DAY, _DAY, "d", _HOUR, "h"),
        (2 * _YEAR, _DAY, "d", 0, ""),
        (8 * _YEAR, _YEAR, "y", _DAY, "d"),
    ):
        if whole < below:
            more = whole % unit // smaller if smaller else 0
            return f"{whole // unit}{name}{more}{rest}" if more else f"{whole // unit}{name}"
    return f"{whole // _YEAR}y"
