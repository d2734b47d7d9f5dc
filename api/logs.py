"""Logging (contract A-10): structlog and the standard library end in one handler, with one redaction on the way.

A record is a constant message and facts as fields. In json it is one line, whatever it holds; in text the control
characters of values are escaped, so that nobody's output can move the cursor of whoever reads the log.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from api.escape import escape
from api.logfile import RotatingFile
from controller.settings import LoggingSettings

REDACTED: Final = "[redacted]"
LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
MEGABYTE: Final = 1024 * 1024
_DEPTH = 8
_SUSPICIOUS = re.compile(r"(?i)authorization|bearer|basic|eyJ|://|ticket|token|passw|secret|api_key|-----BEGIN")
"""What a text that holds a credential contains: all others, and most are others, are looked at once."""

_SECRET_NAME = re.compile(
    r"(?i)(?:^|[_.-])(?:authorization|cookie|env|environ|passphrase|passwd|password|secret|stdin|ticket|token|dsn"
    r"|api_?key|private_?key|client_?keys?)s?(?:$|[_.-](?!id$|type$|expiry$|count$))"
)
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_TEXT: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?i)\b(authorization\s*[:=]\s*['\"]?)(?:(?:bearer|basic)\s+)?[^\s'\",;]+", rf"\1{REDACTED}"),
        (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", rf"\1 {REDACTED}"),
        (r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", REDACTED),
        (r"\b([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#@]*@", rf"\1{REDACTED}@"),
        (
            r"(?i)\b((?:access_|stream_)?(?:ticket|token|password|passwd|secret|api_key)=)[^&\s'\",;]+",
            rf"\1{REDACTED}",
        ),
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", REDACTED),
    )
)


def configure(settings: LoggingSettings) -> logging.Handler:
    """Send every logger's records to the one place that the settings name. Returns the handler, for closing it.

    A log file of before is closed; one that cannot be opened leaves everything as it was. Raises OSError.
    """
    handler = _handler(settings)
    handler.setFormatter(_formatter(settings.format))
    root = logging.getLogger()
    before, root.handlers[:] = root.handlers[:], [handler]
    for old in before:
        if isinstance(old, RotatingFile):
            old.close()
    root.setLevel(LEVELS[settings.level])
    _adopt_libraries(debug=settings.level == "debug")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a second configure must reach the loggers of the first
    )
    return handler


def _handler(settings: LoggingSettings) -> logging.Handler:
    if settings.output in {"stdout", "stderr"}:
        stream: TextIO = sys.stdout if settings.output == "stdout" else sys.stderr
        return logging.StreamHandler(stream)
    return RotatingFile(
        settings.output,
        max_bytes=settings.max_size * MEGABYTE,
        max_backups=settings.max_backups,
        max_age_days=settings.max_age,
    )


def _adopt_libraries(*, debug: bool) -> None:
    """The libraries' loggers keep no handlers of their own, and are no louder than they are useful."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncssh"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # asyncssh tells of every channel at INFO; its packets (debug level 2 and up) hold what is sent: never on.
    logging.getLogger("asyncssh").setLevel(logging.INFO if debug else logging.WARNING)
    logging.getLogger("uvicorn.access").setLevel(logging.INFO if debug else logging.WARNING)
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _shared() -> list[Processor]:
    """What happens to a record wherever it comes from."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(form: str) -> logging.Formatter:
    render: Processor = _json if form == "json" else _text
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _drop_colours,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            redact,
            render,
        ],
    )


def _drop_colours(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Uvicorn brings each message twice, the second time with colours."""
    event.pop("color_message", None)
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take secrets out: fields by their name, texts by what they look like (contract E-8)."""
    return {name: _redacted(name, value, 0) for name, value in event.items()}


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(_CAPITAL.sub("_", name)) is not None


def _redacted(name: str, value: Any, depth: int) -> Any:
    if name and _is_secret(name) and value not in (None, "", True, False):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth < _DEPTH:
        return {str(key): _redacted(str(key), inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEPTH:
        return [_redacted("", inner, depth + 1) for inner in value]
    return redact_text(value if isinstance(value, str) else str(value))


def redact_text(text: str) -> str:
    """The text without what looks like a credential."""
    if not _SUSPICIOUS.search(text):
        return text
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """One line, ASCII only, time and level and message first."""
    first = ("timestamp", "level", "logger", "event")
    ordered = {name: event.pop(name) for name in first if name in event}
    return json.dumps({**ordered, **event}, default=str)


def _text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """`time LEVEL logger: message key=value …`, a traceback indented below."""
    exception = cast("str | None", event.pop("exception", None))
    head = (
        f"{event.pop('timestamp')} {event.pop('level').upper():<7} "
        f"{event.pop('logger', '-')}: {escape(str(event.pop('event')))}"
    )
    fields = " ".join(f"{escape(name)}={_value(value)}" for name, value in event.items())
    trace = "".join(f"\n    {escape(line)}" for line in exception.splitlines()) if exception else ""
    return (f"{head} {fields}" if fields else head) + trace


def _value(value: Any) -> str:
    """A field's value: plain where it is one word, quoted where not."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    plain = isinstance(value, str) and text and not re.search(r"[\s\"=\\]", text)
    return escape(text) if plain or not isinstance(value, str) else json.dumps(text)
