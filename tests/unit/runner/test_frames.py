"""The lines between client and runner: exact both ways, strict about anything else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.base import RunId, RunState, StartRequest, StopReason
from transports.runner import frames

RUN = RunId("0123456789abcdef" * 2 + ".1")


def unescape(data: bytes) -> bytes:
    """What `printf %b` makes of it."""
    return re.sub(rb"\\0([0-7]{3})", lambda m: bytes((int(m[1], 8),)), data)


@given(st.binary())
def test_escaped_bytes_come_back(data: bytes) -> None:
    encoded = frames.escape(data)
    assert unescape(encoded) == data
    assert re.fullmatch(rb"[!-~]*", encoded)
    assert not re.search(rb"\\(?!0[0-7]{3})", encoded)


@given(st.binary(max_size=200), st.binary(max_size=200), st.booleans(), st.booleans())
def test_a_start_request_is_one_line_of_the_length_it_says(
    script: bytes, stdin: bytes, ack: bool, staged: bool
) -> None:
    req = StartRequest(run=RUN, script=script, stdin=stdin, timeout=1.5, grace=0, output_cap=1000)
    line = frames.start(7, req, nonce="0123456789abcdef", ack=ack, staged=staged)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    length, sequence, verb, rest = line[:-1].split(b" ", 3)
    assert (int(length), sequence, verb) == (len(rest), b"7", b"start")
    words = rest.split(b" ")
    assert len(words) == 11
    assert words[3:6] == [b"150", b"0", b"1000"]
    assert (int(words[7]), int(words[8])) == (len(script), len(stdin))
    if not staged:
        assert script == (unescape(words[9]) if script else b"")
        assert stdin == (unescape(words[10]) if stdin else b"")


@pytest.mark.parametrize(
    "run", ["", "x", RUN[:-2], RUN + "0" * 20, "../" + RUN, RUN + "\n", RUN.upper(), RUN[:-1] + "0"]
)
def test_nothing_but_a_run_id_reaches_the_node(run: str) -> None:
    with pytest.raises(ValueError, match="not a run id"):
        frames.start(1, StartRequest(run=RunId(run), script=b""), nonce="0" * 16, ack=False, staged=False)


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_no_time_that_is_none(value: float) -> None:
    with pytest.raises(ValueError, match="duration"):
        frames.hundredths(value)


def test_endless_times_are_cut() -> None:
    assert frames.hundredths(float("inf")) == frames.LONGEST * 100


def line(rest: str, sequence: int = 3) -> bytes:
    return f"{sequence} {len(rest)} {rest}".encode()


@given(st.integers(0, 10**9), st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300))
def test_answers_come_apart(sequence: int, rest: str) -> None:
    a = frames.answer(line(rest, sequence))
    assert a.sequence == sequence
    assert rest in (a.kind, f"{a.kind} {a.rest}")


@given(st.binary(max_size=100))
def test_a_line_that_is_no_answer_raises_one_error(data: bytes) -> None:
    try:
        a = frames.answer(data)
    except frames.BadFrame:
        return
    assert data.decode() in (line(a.kind, a.sequence).decode(), line(f"{a.kind} {a.rest}", a.sequence).decode())


@pytest.mark.parametrize(
    "bad", [b"", b"3 5 four", b"3 4 fives", b"x 4 four", b"3 4 f\xffur", b"-3 4 four", b"3 +4 four"]
)
def test_a_wrong_length_or_byte_is_refused(bad: bytes) -> None:
    with pytest.raises(frames.BadFrame):
        frames.answer(bad)


def test_a_whole_status() -> None:
    rest = f"{RUN} 0123456789abcdef done timeout 143 250 6 0 70000 1 1 0 + 4 2 a\x1fb\x1fc\x1f"
    seen = frames.seen(rest, boot_id="b")
    s = seen.status
    assert seen.nonce == "0123456789abcdef"
    assert (s.run, s.state, s.stop, s.exit_code, s.signal) == (RUN, RunState.DONE, StopReason.TIMEOUT, 143, 15)
    assert (s.duration, s.boot_id, s.stray, s.kill_confirmed) == (2_500_000_000, "b", True, True)
    assert (s.stdout.kept, s.stdout.total, s.stdout.truncated) == (6, 6, False)
    assert (s.stderr.kept, s.stderr.total, s.stderr.truncated) == (70000, None, True)
    assert s.inline == (b"a\nb\n", b"c\n")


def test_a_duration_may_have_decimals() -> None:
    rest = f"{RUN} 0123456789abcdef done none 0 0.153 0 0 0 0 0 0 + 0 0 "
    assert frames.seen(rest, boot_id="b").status.duration == 1_530_000


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8), max_size=18))
def test_a_status_that_is_none_raises_one_error(words: list[str]) -> None:
    with pytest.raises(frames.BadFrame):
        frames.seen(" ".join(words), boot_id="b")


@pytest.mark.parametrize(
    "change",
    [
        ("done", "undone"),
        ("timeout", "tea"),
        ("143", "256"),
        ("143", "-1"),
        ("250", "2e9"),
        ("250", "-5"),
        ("0123456789abcdef done", "zz done"),
        ("+ 4", "+ 5"),
    ],
)
def test_every_field_of_a_status_is_checked(change: tuple[str, str]) -> None:
    rest = f"{RUN} 0123456789abcdef done timeout 143 250 6 0 7 1 1 0 + 4 2 a\x1fb\x1fc\x1f"
    head, tail = rest[: len(RUN)], rest[len(RUN) :]
    with pytest.raises(frames.BadFrame):
        frames.seen(head + tail.replace(*change), boot_id="b")


def test_a_probe() -> None:
    p = frames.probe("12345\x1fos=Some Linux 1\x1fempty=\x1fa=b=c", boot_id="b")
    assert (p.uptime, p.facts) == (123.45, {"os": "Some Linux 1", "a": "b=c"})
    for uptime in ("x", "9" * 400):
        with pytest.raises(frames.BadFrame):
            frames.probe(uptime, boot_id="b")


@given(st.binary(max_size=2000))
def test_an_excerpt_is_short_and_printable(noise: bytes) -> None:
    text = frames.sanitised(noise)
    assert text.isprintable()
    assert len(text) < 1000
