"""The small types that every resource is built from: safe strings, bounded numbers, times, durations."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from controller.duration import format_duration, parse_duration

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a NUL character is not allowed")
    return text


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("a control character is not allowed")
    return text


@lru_cache(maxsize=8192)
def rfc3339(at: datetime) -> str:
    """RFC 3339 with `Z`, the fraction only where there is one. Remembered: an object is written many times."""
    text = at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return text.rstrip("0").rstrip(".") + "Z"


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a time needs a zone: write it like 2026-01-13T18:17:00Z")
    try:
        return at.astimezone(UTC)
    except OverflowError:  # by some hours before the year 1, or after 9999
        return (datetime.min if at.year == 1 else datetime.max).replace(tzinfo=UTC)


def _duration(value: Any, info: ValidationInfo) -> Any:
    """Accept a Go duration string; integers only from Python, for in JSON nobody knows their unit."""
    if isinstance(value, str):
        return parse_duration(value)
    if info.mode == "json":
        raise ValueError('a duration is a string such as "30s" or "2h30m15s"')
    return value


def _integral(value: Any) -> Any:
    """JSON knows one kind of number: 8080.0 is the integer 8080 (JSON Schema, 6.1.1)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


DURATION_PATTERN = (
    r"^(?:[1-9][0-9]?h(?:[1-5]?[0-9]m)?(?:[1-5]?[0-9](?:\.[0-9]{1,9})?s)?"
    r"|[1-9][0-9]?m(?:[1-5]?[0-9](?:\.[0-9]{1,9})?s)?|[1-9][0-9]{0,2}(?:\.[0-9]{1,9})?s|[1-9][0-9]{0,5}ms)$"
)
"""How durations are best written. Everything that Go reads is accepted."""
SHORT_DURATION_PATTERN = r"^(?:[1-9]m(?:[1-5]?[0-9]s)?|[1-9][0-9]?(?:\.[0-9]{1,9})?s|[1-9][0-9]{0,4}ms)$"
"""The same, for those that are at most ten minutes."""

NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
COMMAND_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Text = Annotated[str, AfterValidator(_no_nul), Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})]
"""Any text without NUL."""

Line = Annotated[str, AfterValidator(_one_line), Field(json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f]*$"})]
"""Text without control characters: what names and addresses are."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""The name of a resource; the scheme narrows it by kind."""

Integral = BeforeValidator(_integral)
"""Put it after an int's bounds."""

Port = Annotated[int, Field(ge=1, le=65535), Integral]

Timestamp = Annotated[datetime, AfterValidator(_aware), PlainSerializer(rfc3339, return_type=str)]
"""An aware time; written as RFC 3339 with `Z`, the fraction only where there is one."""

Nanoseconds = Annotated[
    int,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    Field(ge=0, le=2**63 - 1),
    WithJsonSchema(
        {"type": "string", "format": "go-duration", "pattern": DURATION_PATTERN, "examples": ["1m30s"]},
        mode="validation",
    ),
    WithJsonSchema({"type": "string", "format": "go-duration"}, mode="serialization"),
]
"""A length of time: a Go duration string outside (`2h30m15s`, contract A-3), integer nanoseconds inside."""


def lasting(*, least: int = 1, most: int = 2**63 - 1) -> AfterValidator:
    """Bounds of a duration, in nanoseconds; what is wrong with one is told as durations are written."""

    def check(value: int) -> int:
        if value < least:
            raise ValueError(f"must be at least {format_duration(least)}" if least > 1 else "must be more than 0s")
        if value > most:
            raise ValueError(f"must be at most {format_duration(most)}")
        return value

    return AfterValidator(check)


Scalar = bool | Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | float | Text
"""A leaf value of a free-form map."""


class Model(BaseModel):
    """Base of everything that is stored: strict, frozen, camelCase outside, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        ser_json_inf_nan="null",
        use_attribute_docstrings=True,
    )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """The same object with other values in some fields, unchecked, as pydantic does it.

        Every change of an object makes several copies, and nothing here has private attributes: this takes a
        quarter of the time.
        """
        if deep or not update:
            return super().model_copy(update=update, deep=deep)
        given = self.__pydantic_fields_set__
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new.__dict__.update(update)
        object.__setattr__(
            new, "__pydantic_fields_set__", given if given.issuperset(update) else given | update.keys()
        )
        object.__setattr__(new, "__pydantic_extra__", self.__pydantic_extra__)
        object.__setattr__(new, "__pydantic_private__", None)
        return new
