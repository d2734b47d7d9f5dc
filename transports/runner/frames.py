"""The lines that the client and the runner exchange: pure functions from values to bytes and back.

    request  <length of rest> <sequence> <verb> <rest>
    answer   <sequence> <length of rest> <rest>

Both are ASCII, one line, at most 4000 bytes for an answer: such a write is atomic on a pipe, so supervisors
answer by themselves. Decoding is strict. A line that does not fit means that the stream is broken.
"""

import re
from dataclasses import dataclass

from transports.base import Probe, RunId, RunState, RunStatus, StartRequest, StopReason, StreamState

INLINE_BODY = 16 * 1024
"""Encoded bytes of script and input that still travel in the request line: the shell reads it byte by byte."""
MAX_ANSWER = 4096
LONGEST = 10 * 365 * 86400
"""Seconds: a longer time limit is no limit, and would overflow the arithmetic of some shells."""

_RUN = re.compile(r"[0-9a-f]{32}\.[1-9][0-9]{0,8}")
_ANSWER = re.compile(rb"([0-9]{1,12}) ([0-9]{1,4}) ([\t\x1f -~]*)")
_HUNDREDTHS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_NONCE = re.compile(r"[0-9a-f]{16}")
_ESCAPED = {b: b"\\0%03o" % b for b in range(256) if b < 33 or b > 126 or b == 0x5C}
_PLAIN = {b: bytes((b,)) for b in range(256)} | _ESCAPED
_US = "\x1f"


class BadFrame(ValueError):
    """A line from the node that the runner cannot have written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One line from the node, before anybody looked at what it says."""

    sequence: int
    kind: str
    rest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A status, and the nonce of the delivery that holds the claim (it names the files). Empty: no claim."""

    status: RunStatus
    nonce: str


def check_run(run: RunId) -> RunId:
    """Answer `run` if it is a run id. Raises `ValueError`: nothing else may reach a path on the node."""
    if not _RUN.fullmatch(run):
        raise ValueError(f"not a run id: {run[:80]!r}")
    return run


def escape(data: bytes) -> bytes:
    r"""Encode bytes so that `printf %b` gives them back: `\0` and exactly three octal digits."""
    return b"".join([_PLAIN[b] for b in data])


def request(sequence: int, verb: str, *words: bytes | str) -> bytes:
    """One request line."""
    rest = b" ".join(w if isinstance(w, bytes) else w.encode("ascii") for w in words)
    return b"%d %d %s %s\n" % (len(rest), sequence, verb.encode("ascii"), rest)


def hundredths(seconds: float) -> int:
    """Seconds as the node counts them. Raises `ValueError` for what is not a time."""
    if seconds < 0 or seconds != seconds:
        raise ValueError(f"not a duration: {seconds}")
    return round(min(seconds, LONGEST) * 100)


def start(sequence: int, req: StartRequest, *, nonce: str, ack: bool, staged: bool) -> bytes:
    """The request that delivers a run. `ack`: the node also answers at the claim, not only at the end."""
    if req.output_cap < 0:
        raise ValueError(f"not an output cap: {req.output_cap}")
    return request(
        sequence,
        "start",
        check_run(req.run),
        nonce,
        req.digest,
        str(max(1, hundredths(req.timeout))),
        str(hundredths(req.grace)),
        str(req.output_cap),
        "f" + "a" * ack + "s" * staged,
        str(len(req.script)),
        str(len(req.stdin)),
        b"-" if staged else escape(req.script) or b"-",
        b"-" if staged else escape(req.stdin) or b"-",
    )


def fits(req: StartRequest) -> bool:
    """Whether script and input may travel in the request line."""
    if len(req.script) + len(req.stdin) > INLINE_BODY:
        return False
    return len(escape(req.script)) + len(escape(req.stdin)) <= INLINE_BODY


def answer(line: bytes) -> Answer:
    """Take one line from the node apart. Raises `BadFrame`."""
    found = _ANSWER.fullmatch(line)
    if found is None or len(found[3]) != int(found[2]):
        raise BadFrame(f"not an answer: {sanitised(line)}")
    kind, _, rest = found[3].decode("ascii").partition(" ")
    return Answer(sequence=int(found[1]), kind=kind, rest=rest)


def seen(rest: str, *, boot_id: str) -> Seen:
    """What an answer of kind `st` or `end` says. Raises `BadFrame`."""
    try:
        return _seen(rest.split(" ", 15), boot_id)
    except ValueError as e:
        raise BadFrame(f"not a status: {sanitised(rest.encode())}") from e


def _seen(w: list[str], boot_id: str) -> Seen:
    if len(w) != 16 or any(flag not in ("0", "1") for flag in (w[7], w[9], w[10], w[11])):
        raise ValueError("fields")
    state = RunState(w[2])
    done = state is RunState.DONE
    code = int(w[4]) if done else None
    if code is not None and not 0 <= code <= 255:
        raise ValueError("exit code")
    status = RunStatus(
        run=check_run(RunId(w[0])),
        state=state,
        boot_id=boot_id,
        stop=StopReason(w[3]),
        exit_code=code,
        signal=code - 128 if code is not None and 128 < code <= 192 else None,
        duration=_duration(w[5]) if done else None,
        stdout=_stream(w[6], w[7], done=done),
        stderr=_stream(w[8], w[9], done=done),
        stray=w[10] == "1",
        kill_confirmed=w[11] == "0",
        inline=_inline(w[13], w[14], w[15]) if w[12] == "+" else None,
    )
    if w[1] != "-" and not _NONCE.fullmatch(w[1]):
        raise ValueError("nonce")
    return Seen(status=status, nonce="" if w[1] == "-" else w[1])


def _duration(text: str) -> int:
    """Hundredths of a second, with decimals where the node measures them, as nanoseconds."""
    if not _HUNDREDTHS.fullmatch(text):
        raise ValueError("duration")
    return round(float(text) * 10_000_000)


def _stream(kept: str, cut: str, *, done: bool) -> StreamState:
    n = int(kept)
    return StreamState(kept=n, total=n if done and cut == "0" else None, truncated=cut == "1")


def _inline(out: str, err: str, text: str) -> tuple[bytes, bytes]:
    n, m = int(out), int(err)
    if len(text) != n + m:
        raise ValueError("inline output")
    data = text.replace(_US, "\n").encode("ascii")
    return data[:n], data[n:]


def probe(rest: str, *, boot_id: str) -> Probe:
    """What an answer of kind `pr` says. Raises `BadFrame`."""
    uptime, *pairs = rest.split(_US)
    try:
        facts = dict(p.split("=", 1) for p in pairs)
        return Probe(boot_id=boot_id, uptime=int(uptime) / 100, facts={k: v for k, v in facts.items() if v})
    except (ValueError, OverflowError) as e:
        raise BadFrame(f"not a probe: {sanitised(rest.encode())}") from e


def sanitised(noise: bytes, limit: int = 200) -> str:
    """A short printable excerpt of whatever the node sent instead, for messages."""
    text = noise.decode("utf-8", "replace")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return repr(text if len(text) <= limit else text[:limit] + "…")
