"""Go durations, in and out (contract A-3): integer nanoseconds inside, `2h30m15s` outside.

Parsing leans on `durationpy` behind one guard. Its formatter is not Go's, so formatting is done here and
equals Go's `Duration.String()`; tests hold it against a table made by a Go program.
"""

import re

import durationpy

_GO = re.compile(r"\+?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+")
_LIMIT = 2**63 - 1
MICROSECOND, MILLISECOND, SECOND = 1_000, 1_000_000, 1_000_000_000


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration such as `100ms`, `1.5s`, `2h30m15s`. `0` alone is allowed.

    Raises ValueError for anything else, negative values and units that Go lacks (`d`, `w`, `y`) included.
    """
    if text in {"0", "+0"}:
        return 0
    if len(text) > 64 or not _GO.fullmatch(text):
        raise ValueError(f'{text[:64]!r} is not a duration: write it like "30s", "1.5m" or "2h30m15s"')
    nanoseconds = round(durationpy.from_str(text.lstrip("+")).total_seconds() * SECOND)
    if nanoseconds > _LIMIT:
        raise ValueError(f"{text!r} is too long: at most 292 years")
    return nanoseconds


def format_duration(nanoseconds: int) -> str:
    """Write nanoseconds exactly as Go's `Duration.String()` does."""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < 0:
        return "-" + format_duration(-nanoseconds)
    if nanoseconds < SECOND:
        for size, unit in ((MILLISECOND, "ms"), (MICROSECOND, "µs"), (1, "ns")):
            if nanoseconds >= size:
                return _decimal(nanoseconds, size) + unit
    hours, rest = divmod(nanoseconds, 3600 * SECOND)
    minutes, rest = divmod(rest, 60 * SECOND)
    seconds = _decimal(rest, SECOND) + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(value: int, unit: int) -> str:
    """`value / unit` in exact decimal, without trailing zeros."""
    whole, fraction = divmod(value, unit)
    if not fraction:
        return str(whole)
    digits = f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}"
