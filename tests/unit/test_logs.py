"""Logging (contract A-10) and what never gets into a log (E-8)."""

import io
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from api.escape import escape
from api.logfile import RotatingFile
from api.logs import REDACTED, configure, redact_text
from controller.settings import LoggingSettings

SECRET = "hunter2hunter2"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Out:
    """All that went to standard output so far."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._text = ""

    def getvalue(self) -> str:
        """The text."""
        self._text += self._capture.readouterr().out
        return self._text


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Out:
    return Out(capsys)


def lines(out: Out) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_is_a_line_of_facts(out: Out) -> None:
    """A-10: message, level, logger and time, and the facts as fields."""
    configure(LoggingSettings())
    structlog.get_logger("controller.worker").info("command finished", command="cmd_1_n", attempts=2)
    (line,) = lines(out)
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() == timedelta(0)
    assert line == {
        "level": "info",
        "logger": "controller.worker",
        "event": "command finished",
        "command": "cmd_1_n",
        "attempts": 2,
    }


def test_text_is_a_line_for_people(out: Out) -> None:
    """A-10: format text."""
    configure(LoggingSettings(format="text"))
    structlog.get_logger("w").warning("node is gone", node="build-01", why="no contact for 60s", tries=3)
    assert out.getvalue().endswith(' WARNING w: node is gone node=build-01 why="no contact for 60s" tries=3\n')


def test_the_output_may_be_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """A-10: stderr."""
    configure(LoggingSettings(output="stderr"))
    structlog.get_logger().info("hello")
    assert json.loads(capsys.readouterr().err)["event"] == "hello"


@pytest.mark.parametrize(
    ("level", "heard"),
    [("debug", 4), ("info", 3), ("warn", 2), ("warning", 2), ("error", 1)],
)
def test_levels(out: Out, level: Literal["debug", "info", "warn", "warning", "error"], heard: int) -> None:
    """A-10: level, for structlog's loggers and the standard library's alike."""
    configure(LoggingSettings(level=level))
    for log in (structlog.get_logger("ours"), logging.getLogger("theirs")):
        log.debug("d")
        log.info("i")
        log.warning("w")
        log.error("e")
    assert len(lines(out)) == 2 * heard


@pytest.mark.parametrize("name", ["uvicorn.error", "asyncssh", "asyncio", "some.library"])
def test_libraries_go_the_same_way(out: Out, name: str) -> None:
    """A-10, E-8: one format and one redaction for uvicorn's and asyncssh's records too."""
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler(io.StringIO()))
    configure(LoggingSettings())
    logging.getLogger(name).warning("Bad header Authorization: Bearer %s", SECRET, extra={"color_message": "x"})
    (line,) = lines(out)
    assert line["logger"] == name
    assert line["event"] == f"Bad header Authorization: {REDACTED}"
    assert "color_message" not in line


def test_asyncssh_tells_of_channels_only_when_debugging(out: Out) -> None:
    """A-10: a line for each channel of each node is noise."""
    configure(LoggingSettings())
    logging.getLogger("asyncssh").info("Opening channel")
    assert out.getvalue() == ""
    configure(LoggingSettings(level="debug"))
    logging.getLogger("asyncssh").info("Opening channel")
    assert len(lines(out)) == 1


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    "fields",
    [
        {"authorization": f"Bearer {SECRET}"},
        {"headers": {"Authorization": SECRET, "accept": "x"}},
        {"token": SECRET},
        {"auth_token": SECRET},
        {"authToken": SECRET},
        {"jwt_secret": SECRET},
        {"password": SECRET},
        {"ticket": SECRET},
        {"cookie": SECRET},
        {"env": {"A": SECRET}},
        {"request": {"params": {"env": {"A": SECRET}, "stdin": SECRET}}},
        {"list": [{"passphrase": SECRET}]},
        {"dsn": f"postgres://u:{SECRET}@h/d"},
        {"url": f"postgres://u:{SECRET}@h/d"},
        {"url": f"http://{SECRET}@h/d"},
        {"path": f"/ws?ticket={SECRET}&types=x"},
        {"why": f"got Bearer {SECRET}"},
        {"why": f"Authorization: Basic {SECRET}"},
        {"why": f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET}"},
        {"key": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----"},
        {"error": ValueError(f"password={SECRET}")},
    ],
)
def test_secrets_are_redacted(out: Out, form: Literal["json", "text"], fields: dict[str, Any]) -> None:
    """E-8: by the field's name, at any depth, and by what a text looks like."""
    configure(LoggingSettings(format=form))
    structlog.get_logger().info("something happened", **fields)
    assert SECRET not in out.getvalue()
    assert REDACTED in out.getvalue()


def test_what_is_no_secret_stays() -> None:
    """A-10: a log that hides everything helps nobody."""
    for text in ("http://127.0.0.1:3001/health", "node build-01 is active", "a@b.example", "ssh deploy@10.0.0.5"):
        assert redact_text(text) == text


def test_names_that_only_mention_tokens_stay(out: Out) -> None:
    """A-10: a token's id, and whether there is a password, are facts for an audit."""
    configure(LoggingSettings())
    structlog.get_logger().info("token made", token_id="abc", token_expiry="24h", password=None, environment="dev")
    (line,) = lines(out)
    assert [line[k] for k in ("token_id", "token_expiry", "password", "environment")] == ["abc", "24h", None, "dev"]


def test_a_traceback_is_redacted_and_one_line_in_json(out: Out) -> None:
    """A-10, E-8: an exception's text is as dangerous as a field."""
    configure(LoggingSettings())
    try:
        int(f"https://u:{SECRET}@h/")
    except ValueError:
        structlog.get_logger().exception("delivery failed")
        logging.getLogger("library").exception("it failed")
    first, second = lines(out)
    assert "ValueError" in first["exception"]
    assert "ValueError" in second["exception"]
    assert SECRET not in out.getvalue()


NASTY = "a\nb\r\x1b[2J\x00\x7f\x9b\u2028\u202e\ud800"


@pytest.mark.parametrize("form", ["json", "text"])
def test_control_characters_are_escaped(out: Out, form: Literal["json", "text"]) -> None:
    """A-10: no record forges another one or drives a terminal."""
    configure(LoggingSettings(format=form))
    structlog.get_logger().info("m " + NASTY, plain=NASTY, quoted=" " + NASTY, deep=[{NASTY: NASTY}], **{NASTY: 1})
    logging.getLogger("x").info("m %s", NASTY)
    assert len(out.getvalue().splitlines()) == 2
    assert all(c == "\n" or c.isprintable() for c in out.getvalue())


@given(st.text(st.characters()))
def test_an_escaped_text_is_one_printable_line(text: str) -> None:
    """A-10: whatever characters there are."""
    assert len(escape(text).splitlines()) <= 1
    assert not any(c < " " or "\x7f" <= c <= "\x9f" for c in escape(text))


class Clock:
    """A second passes at every look."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 13, 18, 17, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        self.now += timedelta(seconds=1)
        return self.now


def written(path: Path, clock: Clock, count: int, **limits: int) -> None:
    handler = RotatingFile(path, **{"max_bytes": 100, "max_backups": 3, "max_age_days": 28, **limits}, now=clock)
    for number in range(count):
        handler.emit(logging.makeLogRecord({"msg": f"{number:049d}"}))
    handler.close()


def test_a_file_is_rotated_by_size_and_the_newest_backups_stay(tmp_path: Path) -> None:
    """A-10: max_size and max_backups; records are never split or lost on the way."""
    path = tmp_path / "log/v.log"
    written(path, Clock(), 9)
    files = sorted(path.parent.iterdir())
    assert [int(line) for file in files for line in file.read_text().splitlines()] == [2, 3, 4, 5, 6, 7, 8]
    assert [file.stat().st_size for file in files] == [100, 100, 100, 50]
    assert files[0].name.startswith("v-2026-01-13T18-17-")
    assert path.stat().st_mode & 0o777 == 0o600


def test_old_backups_go_by_age(tmp_path: Path) -> None:
    """A-10: max_age, at a rotation and at a start; files of others in the folder stay."""
    path, clock = tmp_path / "v.log", Clock()
    (tmp_path / "v-notes.log").write_text("mine")
    written(path, clock, 3)
    clock.now += timedelta(days=27)
    written(path, clock, 0)
    assert len(list(tmp_path.iterdir())) == 3
    clock.now += timedelta(days=2)
    written(path, clock, 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v-notes.log", "v.log"]


def test_zero_means_no_such_limit(tmp_path: Path) -> None:
    """A-10: max_backups 0 keeps all, max_age 0 keeps for ever."""
    path, clock = tmp_path / "v.log", Clock()
    written(path, clock, 20, max_backups=0, max_age_days=0)
    clock.now += timedelta(days=10_000)
    written(path, clock, 1, max_backups=0, max_age_days=0)
    assert len(list(tmp_path.iterdir())) == 11


def test_a_restart_appends(tmp_path: Path) -> None:
    """A-10: the size counts what was there before."""
    path = tmp_path / "v.log"
    written(path, Clock(), 1)
    written(path, Clock(), 1)
    assert path.stat().st_size == 100
    written(path, Clock(), 1)
    assert path.stat().st_size == 50


def test_settings_reach_the_file(tmp_path: Path) -> None:
    """A-10: output names the file, and max_size is in megabytes."""
    path = tmp_path / "v.log"
    handler = configure(LoggingSettings(output=str(path), max_size=1))
    for _ in range(11):
        structlog.get_logger().info("much", data="x" * 100_000)
    handler.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert path.stat().st_size < 1024 * 1024


def test_a_log_that_cannot_be_written_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """A-10: a full disk costs records, not the server."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    handler = RotatingFile("/dev/full", max_bytes=100, max_backups=1, max_age_days=1)
    handler.emit(logging.makeLogRecord({"msg": "lost"}))
    assert "No space left" in capsys.readouterr().err
