"""The numbered files that make a schema."""

import pytest

from controller.store.base import Unavailable
from controller.store.migrations import Applied, check_applied, parse, read_migrations, schema_files

OURS = [parse(n, f"{n:03}_x.sql", f"-- compatible-with: {n:03}\nCREATE TABLE t{n} (x);") for n in (1, 2)]
SAME = {m.number: Applied(checksum=m.checksum, compatible_with=m.compatible_with) for m in OURS}


@pytest.mark.parametrize("text", ["CREATE TABLE t (x);", "-- compatible-with: 4\n", "-- compatible-with: 005\n"])
def test_a_migration_says_whom_it_leaves_running(text: str) -> None:
    """Its author has to think of it; and no version that is still to come can be the oldest."""
    with pytest.raises(ValueError, match="must begin with"):
        parse(4, "004_x.sql", text)


@pytest.mark.parametrize("folder", [schema_files(), schema_files().joinpath("postgres")])
def test_ours_are_numbered_without_a_gap(folder: object) -> None:
    """So that the newest one stands for all of them."""
    found = read_migrations(folder)  # type: ignore[arg-type]
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))


def test_the_first_line_is_no_part_of_what_a_migration_is_recognised_by() -> None:
    """Databases have migrations from before there was one."""
    first = parse(2, "002_x.sql", "-- compatible-with: 001\nSELECT 1;")
    second = parse(2, "002_x.sql", "-- compatible-with: 002\nSELECT 1;")
    assert (first.checksum, first.sql) == (second.checksum, "SELECT 1;")


@pytest.mark.parametrize(
    ("number", "applied", "refused"),
    [
        (3, Applied(checksum="x", compatible_with=1), None),
        (3, Applied(checksum="x", compatible_with=2), None),
        (3, Applied(checksum="x", compatible_with=3), "version 3"),
        (3, Applied(checksum="x", compatible_with=None), "version 3"),
        (2, Applied(checksum="x", compatible_with=1), "another text of migration 2"),
        (2, Applied(checksum=OURS[1].checksum, compatible_with=None), None),
    ],
)
def test_a_newer_schema_may_be_used_if_it_says_so(number: int, applied: Applied, refused: str | None) -> None:
    """And one of another text never."""
    if refused is None:
        check_applied({**SAME, number: applied}, OURS)
    else:
        with pytest.raises(Unavailable, match=refused):
            check_applied({**SAME, number: applied}, OURS)
