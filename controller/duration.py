"""Go durations, in and out (contract A-3): integer nanoseconds inside, `2h30m15s` outside.

Both directions follow Go's `time` package digit for digit, and a table made by a Go program holds them to it. The
package `durationpy` serves neither: it reads into a timedelta, which ends at microseconds (`1ns` becomes 0), and it
writes `65ms123us`. The tests keep it as a second opinion.
"""

import re
from functools import lru_cache

_GO = re.compile(r"\+?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_LIMIT = 2**63 - 1
MICROSECOND, MILLISECOND, SECOND = 1_000, 1_000_000, 1_000_000_000
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
_UNITS = {
    "ns": 1,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # U+00B5, the micro sign
    "μs": MICROSECOND,  # U+03BC, the Greek letter
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}


@lru_cache(1024)
def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration such as `100ms`, `1.5s`, `2h30m15s`. `0` alone is allowed.

    Raises ValueError for anything else, negative values and units that Go lacks (`d`, `w`, `y`) included.
    """
    if text in {"0", "+0"}:
        return 0
    if len(text) > 64 or not _GO.fullmatch(text):
        raise ValueError(f'{text[:64]!r} is not a duration: write it like "30s", "1.5m" or "2h30m15s"')
    nanoseconds = sum(_nanoseconds(*part.groups()) for part in _PART.finditer(text))
    if nanoseconds > _LIMIT:
        raise ValueError(f"{text!r} is too long: at most 292 years")
    return nanoseconds


def _nanoseconds(whole: str, fraction: str | None, unit: str) -> int:
    """One number with its unit. The fraction is cut, not rounded, and through a float, because Go does so."""
    size = _UNITS[unit]
    digits, scale = _leading_fraction(fraction or "")
    return int(whole or "0") * size + int(float(digits) * (size / scale))


def _leading_fraction(fraction: str) -> tuple[int, float]:
    """The digits that fit 63 bits, as Go reads them, and the power of ten that they stand over."""
    digits, scale = 0, 1.0
    for digit in fraction:
        if digits > _LIMIT // 10 or digits * 10 + int(digit) > _LIMIT + 1:
            break
        digits, scale = digits * 10 + int(digit), scale * 10
    return digits, scale


@lru_cache(maxsize=4096)
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
