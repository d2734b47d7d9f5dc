"""The contract's reference and the tests speak of the same clauses."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| ([A-G]-\d+) \| (holds|later) \|", re.MULTILINE)


def clauses(state: str) -> set[str]:
    """The clauses in that state, as the reference says."""
    return {
        clause for clause, said in ROW.findall((ROOT / "docs/reference/contract.md").read_text()) if said == state
    }


def named_by_tests() -> set[str]:
    """The clauses that any test names."""
    text = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py") if p != Path(__file__))
    return set(re.findall(r"\b[A-G]-\d+\b", text))


def test_every_clause_that_holds_is_named_by_a_test() -> None:
    """No clause is claimed without a test that cites it."""
    assert sorted(clauses("holds") - named_by_tests()) == []


def test_every_clause_is_in_the_reference() -> None:
    """A test never cites a clause that the reference does not have."""
    assert sorted(named_by_tests() - clauses("holds") - clauses("later")) == []
