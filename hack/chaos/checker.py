"""The verdict, from the evidence alone: what was sent, said and done. Imports nothing but the standard library.

    python3 -I hack/chaos/checker.py EVIDENCE        JSON on stdout; exit 1 when a rule is broken

Evidence is a folder of JSON lines (see journal.py), the output that the server gave for each command, and what the
nodes hold: a line in `truth` for each execution, and copies of output that nobody could know beforehand.
"""

import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Fact = dict[str, Any]
ENDED = {"success", "error", "timeout", "cancelled", "unknown"}
NEVER_SENT = {"DeliveryTimeout", "NodeStorageFull", "AuthFailed", "HostKeyMismatch", "UnsupportedShell", "Conflict"}
"""Reasons that say: it did not run."""
KILLED = 128 + 9
RULES = (
    "executed twice",
    "lost silently",
    "wrong bytes",
    "changed its end",
    "false result",
    "event told twice",
    "event missed",
    "bystander hit",
    "odd",
)


class Evidence:
    """The facts, by sort and by command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sent = {fact["id"]: fact for fact in self.facts("sent")}
        self.final = {fact["id"]: fact for fact in self.facts("final")}
        self.rivalled = {fact["id"] for fact in self.facts("rival")}
        self.cancelled = {fact["id"] for fact in self.facts("cancelled")}
        self.harms = self.facts("harm")
        self.ended: dict[str, int] = {}
        for fact in self.facts("seen"):
            if fact["status"] in ENDED:
                self.ended.setdefault(fact["id"], fact["moment"])
        self.acknowledged: defaultdict[str, set[str]] = defaultdict(set)
        for fact in self.facts("acknowledged"):
            self.acknowledged[fact["id"]].add(fact["created"])
        self.runs: Counter[str] = Counter()
        self.copies: dict[str, Path] = {}
        for node in self.facts("node"):
            self._node(folder / node["truth"], folder / node["copies"])

    def facts(self, sort: str) -> list[Fact]:
        """All facts of one sort, in order."""
        path = self.folder / f"{sort}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _node(self, truth: Path, copies: Path) -> None:
        if truth.exists():
            self.runs.update(truth.read_text().split())
        self.copies |= {path.name: path for path in copies.iterdir()}

    def written(self, id_: str) -> bytes | None:
        """What the command wrote, or what it had to write; None when there is no telling."""
        sent = self.sent.get(id_, {"output": None})
        if sent["output"] is not None:
            return str(sent["output"]).encode()
        return self.copies[id_].read_bytes() if id_ in self.copies else None

    def harmed(self, id_: str) -> bool:
        """Whether a pump of its node was killed, or its node's disk full, while it ran."""
        sent, ended = self.sent[id_], self.ended.get(id_, sys.maxsize)
        return any(
            harm["node"] == sent["node"] and harm["since"] <= ended and harm["moment"] >= sent["moment"]
            for harm in self.harms
        )

    def output(self, id_: str) -> bytes | None:
        """What the server gave as the command's output."""
        path = self.folder / "outputs" / id_
        return path.read_bytes() if path.exists() else None


class Verdict:
    """Broken rules, each with the commands that show it, and what was compared."""

    def __init__(self) -> None:
        self.broken: dict[str, list[str]] = {rule: [] for rule in RULES}
        self.compared: Counter[str] = Counter()

    def breaks(self, rule: str, id_: str, why: str) -> None:
        """Note a broken rule."""
        self.broken[rule].append(f"{id_}: {why}")


def check(evidence: Evidence) -> Verdict:
    """Apply every rule."""
    verdict = Verdict()
    for rule in (_once, _not_lost, _ends_stay, _results, _bytes, _events, _bystanders):
        rule(evidence, verdict)
    for fact in evidence.facts("odd"):
        verdict.breaks("odd", fact["id"], fact["what"])
    return verdict


def _once(evidence: Evidence, verdict: Verdict) -> None:
    """At most one line in the truth, and none for what was never sent."""
    for id_, times in evidence.runs.items():
        if id_ not in evidence.sent:
            verdict.breaks("odd", id_, "ran, but nobody sent it")
        elif times > 1:
            verdict.breaks("executed twice", id_, f"ran {times} times")
    verdict.compared["executions"] = sum(evidence.runs.values())


def _not_lost(evidence: Evidence, verdict: Verdict) -> None:
    """What was acknowledged ends, is one command, and is there."""
    for id_, created in evidence.acknowledged.items():
        status = evidence.final.get(id_, {"status": "not asked"})["status"]
        if status not in ENDED:
            verdict.breaks("lost silently", id_, f"acknowledged, and in the end {status}")
        if len(created) > 1:
            verdict.breaks("odd", id_, f"one id, {len(created)} commands: created {sorted(created)}")


def _ends_stay(evidence: Evidence, verdict: Verdict) -> None:
    """An end that was told stays, but for `unknown`, which may be corrected once."""
    ends: defaultdict[str, set[tuple[Any, ...]]] = defaultdict(set)
    told: dict[str, int] = {}
    finals = [{**fact, "asked": fact["moment"]} for fact in evidence.final.values()]
    for fact in [*evidence.facts("seen"), *finals]:
        _one_look(fact, ends[fact["id"]], told, verdict)
    for fact in evidence.facts("event"):
        if fact["status"] in ENDED - {"unknown"}:
            ends[fact["id"]].add(_end(fact))
    unknown = {fact["id"] for fact in evidence.facts("seen") if fact["status"] == "unknown"}
    verdict.compared["unknown at first, the truth later"] = len(unknown & told.keys())
    for id_, different in ends.items():
        if len(different) > 1:
            verdict.breaks("changed its end", id_, f"{sorted(map(str, different))}")


def _one_look(fact: Fact, ends: set[tuple[Any, ...]], told: dict[str, int], verdict: Verdict) -> None:
    id_, status = fact["id"], fact["status"]
    definite = status in ENDED - {"unknown"}
    if not definite and fact["asked"] > told.get(id_, sys.maxsize):
        verdict.breaks("changed its end", id_, f"had ended, then was {status}")
    if definite:
        told.setdefault(id_, fact["moment"])
        ends.add(_end(fact))


def _end(fact: Fact) -> tuple[Any, ...]:
    return fact["status"], fact["reason"], fact.get("exit_code")


def _results(evidence: Evidence, verdict: Verdict) -> None:
    """What is said of the end is what happened."""
    for id_, final in evidence.final.items():
        if id_ in evidence.sent and (why := _false(evidence, id_, final)):
            verdict.breaks("false result", id_, f"{final['status']}/{final['reason']}: {why}")


def _false(evidence: Evidence, id_: str, final: Fact) -> str:
    status, reason, code = final["status"], final["reason"], final.get("exit_code")
    wanted, ran = evidence.sent[id_]["exit_code"], evidence.runs[id_]
    endless = evidence.sent[id_]["sort"] == "endless"
    if status in {"success", "timeout"} and reason != "DeliveryTimeout" and not ran:
        return "but it never ran"
    if reason in NEVER_SENT and ran and id_ not in evidence.rivalled:
        return "but it ran"
    if status == "success" and (wanted or code != 0 or endless):
        return f"but it ends with {wanted if not endless else 'a signal'}"
    if reason == "NonZeroExit" and (code != wanted or not ran):
        return f"exit code {code}, not {wanted}"
    if reason == "Signalled" and code != KILLED:
        return f"exit code {code}, but all signals sent were KILL"
    if status == "cancelled" and id_ not in evidence.cancelled:
        return "but nobody cancelled it"
    return ""


def _bytes(evidence: Evidence, verdict: Verdict) -> None:
    """Output said to be exact is what was written; any other is its beginning, or pieces of it after some harm."""
    for id_, final in evidence.final.items():
        written, got = evidence.written(id_), evidence.output(id_)
        if got is None or written is None:
            continue
        if final["output_bytes_exact"]:
            _exact(id_, written, got, final, verdict)
        elif evidence.harmed(id_):
            verdict.compared["outputs marked as incomplete"] += 1
        elif final["reason"] in {"Completed", "NonZeroExit"}:
            verdict.breaks("wrong bytes", id_, "said to be incomplete, though nothing took any of it")
        elif not _begins_alike(written, got):
            verdict.breaks("wrong bytes", id_, "what was kept is not the beginning of what was written")


def _exact(id_: str, written: bytes, got: bytes, final: Fact, verdict: Verdict) -> None:
    if final["output_bytes"] != len(got):
        verdict.breaks("wrong bytes", id_, f"said to be {final['output_bytes']} bytes, given {len(got)}")
    if final["reason"] in {"Completed", "NonZeroExit"}:
        verdict.compared["outputs compared by SHA-256"] += 1
        if _sha256(got) != _sha256(written):
            verdict.breaks("wrong bytes", id_, f"{len(got)} bytes with another SHA-256")
    elif not _begins_alike(written, got):
        verdict.breaks("wrong bytes", id_, "not the beginning of what was written")


def _begins_alike(one: bytes, other: bytes) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _events(evidence: Evidence, verdict: Verdict) -> None:
    """Each is told once; and every server, asked afterwards, tells the same."""
    told = Counter(fact["event"] for fact in evidence.facts("told"))
    verdict.compared["events"] = len(told)
    for id_, times in told.items():
        if times > 1:
            verdict.breaks("event told twice", id_, f"told {times} times")
    replayed: defaultdict[str, set[str]] = defaultdict(set)
    for fact in evidence.facts("replayed"):
        replayed[fact["by"]].add(fact["event"])
    for server, events in replayed.items():
        for id_ in events ^ told.keys():
            verdict.breaks("event missed", id_, f"{server} {'only' if id_ in events else 'not'}")


def _bystanders(evidence: Evidence, verdict: Verdict) -> None:
    """Nobody is killed for having got a dead process's number."""
    for fact in evidence.facts("bystander"):
        verdict.compared["bystanders with a reused pid"] += 1
        if not fact["alive"]:
            verdict.breaks("bystander hit", fact["run"], f"on {fact['machine']}")


def summary(evidence: Evidence, verdict: Verdict) -> Fact:
    """All of it, as JSON."""
    ends: Iterable[str] = (f"{fact['status']}/{fact['reason']}" for fact in evidence.final.values())
    return {
        "sent": len(evidence.sent),
        "acknowledged": len(evidence.acknowledged),
        "delivered by a rival too": len(evidence.rivalled),
        "ends": dict(Counter(ends).most_common()),
        "compared": dict(verdict.compared),
        "broken": verdict.broken,
    }


def main(folder: str) -> int:
    """Print the verdict."""
    evidence = Evidence(Path(folder))
    verdict = check(evidence)
    json.dump(summary(evidence, verdict), sys.stdout, indent=2)
    return 1 if any(verdict.broken.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
