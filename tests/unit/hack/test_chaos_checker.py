"""The checker of the chaos proof finds what is planted: it can fail."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKER = Path(__file__).parents[3] / "hack" / "chaos" / "checker.py"


class Evidence:
    """A folder of facts about one command that went well, to be spoilt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.moment = 0
        (folder / "outputs").mkdir()
        (folder / "copies").mkdir()
        self.note("node", truth="truth", copies="copies")
        self.ran("c1")
        self.note("sent", id="c1", node="n", sort="plain", exit_code=0, output="hello\n")
        self.note("acknowledged", id="c1", created="2026-01-01T00:00:00Z")
        self.seen("running")
        self.seen("success", "Completed", 0)
        self.final()
        self.gave(b"hello\n")

    def note(self, sort: str, /, **facts: Any) -> None:
        """One more fact."""
        self.moment += 1
        with (self.folder / f"{sort}.jsonl").open("a") as file:
            file.write(json.dumps({"moment": self.moment, **facts}) + "\n")

    def ran(self, id_: str) -> None:
        """An execution."""
        with (self.folder / "truth").open("a") as file:
            file.write(f"{id_}\n")

    def seen(self, status: str, reason: str = "", exit_code: int | None = None) -> None:
        """The server said so."""
        self.moment += 1
        self.note("seen", id="c1", asked=self.moment, status=status, reason=reason, exit_code=exit_code)

    def final(
        self, status: str = "success", reason: str = "Completed", exit_code: int | None = 0, **more: Any
    ) -> None:
        """The server's last word."""
        facts = {"output_bytes": 6, "output_bytes_exact": True} | more
        self.note("final", id="c1", status=status, reason=reason, exit_code=exit_code, **facts)

    def gave(self, output: bytes) -> None:
        """What the server gave as output."""
        (self.folder / "outputs" / "c1").write_bytes(output)

    def forget(self, sort: str) -> None:
        """Remove all facts of a sort."""
        (self.folder / f"{sort}.jsonl").unlink()


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Of a run without fault."""
    return Evidence(tmp_path)


def judged(evidence: Evidence) -> tuple[int, dict[str, list[str]]]:
    """The checker's exit code, and the rules it found broken."""
    done = subprocess.run([sys.executable, "-I", CHECKER, evidence.folder], stdout=subprocess.PIPE, check=False)
    verdict = json.loads(done.stdout)
    return done.returncode, {rule: found for rule, found in verdict["broken"].items() if found}


def test_what_went_well_breaks_no_rule(evidence: Evidence) -> None:
    assert judged(evidence) == (0, {})


def twice(evidence: Evidence) -> None:
    evidence.ran("c1")


def never(evidence: Evidence) -> None:
    (evidence.folder / "truth").write_text("")


def unsent(evidence: Evidence) -> None:
    evidence.ran("c2")


def no_end(evidence: Evidence) -> None:
    evidence.final("running", "Claimed", None)


def gone(evidence: Evidence) -> None:
    evidence.final("missing", "HTTP 404", None)


def not_asked(evidence: Evidence) -> None:
    evidence.forget("final")


def another_end(evidence: Evidence) -> None:
    evidence.seen("error", "NonZeroExit", 1)


def another_end_in_the_stream(evidence: Evidence) -> None:
    evidence.note("event", id="c1", status="cancelled", reason="Cancelled", exit_code=None)


def alive_again(evidence: Evidence) -> None:
    evidence.seen("running")


def unknown_after_all(evidence: Evidence) -> None:
    evidence.final("unknown", "RunLost", None)


def one_bit(evidence: Evidence) -> None:
    evidence.gave(b"hellp\n")


def a_byte_less(evidence: Evidence) -> None:
    evidence.gave(b"hello")


def another_size(evidence: Evidence) -> None:
    evidence.final(output_bytes=7)


def excused(evidence: Evidence) -> None:
    evidence.gave(b"he")
    evidence.final(output_bytes=2, output_bytes_exact=False)


def another_copy(evidence: Evidence) -> None:
    evidence.note("sent", id="c1", node="n", sort="random", exit_code=0, output=None)
    (evidence.folder / "copies" / "c1").write_bytes(b"HELLO\n")


def success_of_a_failure(evidence: Evidence) -> None:
    evidence.note("sent", id="c1", node="n", sort="failing", exit_code=3, output="hello\n")


def another_exit_code(evidence: Evidence) -> None:
    evidence.forget("seen")
    evidence.final("error", "NonZeroExit", 4)


def cancelled_by_nobody(evidence: Evidence) -> None:
    evidence.forget("seen")
    evidence.final("cancelled", "Cancelled", None)


def never_sent_but_ran(evidence: Evidence) -> None:
    evidence.forget("seen")
    evidence.final("timeout", "DeliveryTimeout", None)


def bystander(evidence: Evidence) -> None:
    evidence.note("bystander", machine="n", run="r", alive=False)


def two_of_one_id(evidence: Evidence) -> None:
    evidence.note("acknowledged", id="c1", created="2026-01-01T00:00:01Z")


def an_event_again(evidence: Evidence) -> None:
    evidence.note("told", event="s-1")
    evidence.note("told", event="s-1")


def an_event_less(evidence: Evidence) -> None:
    evidence.note("told", event="s-1")
    evidence.note("replayed", event="s-1", by="a")
    evidence.note("replayed", event="s-2", by="a")


def an_event_more(evidence: Evidence) -> None:
    """Made up, or not told by one of the servers."""
    for event in ("s-1", "s-2"):
        evidence.note("told", event=event)
        evidence.note("replayed", event=event, by="a")
    evidence.note("replayed", event="s-1", by="b")


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (twice, "executed twice"),
        (never, "false result"),
        (unsent, "odd"),
        (no_end, "lost silently"),
        (gone, "lost silently"),
        (not_asked, "lost silently"),
        (another_end, "changed its end"),
        (another_end_in_the_stream, "changed its end"),
        (alive_again, "changed its end"),
        (unknown_after_all, "changed its end"),
        (one_bit, "wrong bytes"),
        (a_byte_less, "wrong bytes"),
        (another_size, "wrong bytes"),
        (excused, "wrong bytes"),
        (another_copy, "wrong bytes"),
        (success_of_a_failure, "false result"),
        (another_exit_code, "false result"),
        (cancelled_by_nobody, "false result"),
        (never_sent_but_ran, "false result"),
        (bystander, "bystander hit"),
        (two_of_one_id, "odd"),
        (an_event_again, "event told twice"),
        (an_event_less, "event missed"),
        (an_event_more, "event missed"),
    ],
)
def test_a_planted_violation_is_found(evidence: Evidence, plant: Callable[[Evidence], None], rule: str) -> None:
    plant(evidence)
    code, broken = judged(evidence)
    assert code == 1
    assert rule in broken


def test_an_unknown_end_may_become_the_truth(evidence: Evidence) -> None:
    """C-9: the one change that is allowed."""
    evidence.forget("seen")
    evidence.seen("unknown", "NodeUnreachable")
    evidence.seen("success", "Completed", 0)
    assert judged(evidence) == (0, {})


def test_output_may_be_marked_as_incomplete_after_some_harm(evidence: Evidence) -> None:
    evidence.note("harm", node="n", since=1)
    evidence.note("sent", id="c1", node="n", sort="plain", exit_code=0, output="hello\n")
    excused(evidence)
    evidence.forget("harm")
    evidence.forget("seen")
    evidence.note("harm", node="n", since=evidence.moment)
    assert judged(evidence) == (0, {})
