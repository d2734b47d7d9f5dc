"""Who owns which field: server-side apply and updates, on plain trees."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.ownership import APPLY, UPDATE, FieldConflicts, Owner, applied, owners_of, to_managed_fields, updated
from controller.ownership.fields import Index, Path, Tree, decode, encode, leaves, overlap

NOON = "2026-01-13T12:00:00Z"
LATER = "2026-01-13T13:00:00Z"


def apply(
    live: Tree, owners: tuple[Owner, ...], manager: str, wish: Tree, *, force: bool = False, time: str = NOON
) -> tuple[Tree, tuple[Owner, ...]]:
    return applied(live, wish, owners, manager=manager, force=force, time=time, normal=lambda tree: tree)


def owned(owners: tuple[Owner, ...], manager: str) -> set[Path]:
    return {path for owner in owners if owner.manager == manager for path in owner.paths}


def test_what_is_applied_is_set_and_owned() -> None:
    """Scalars and lists as they are, maps key by key."""
    tree, owners = apply({"spec": {"a": 1}}, (), "mary", {"spec": {"b": 2, "m": {"x": 1}, "l": [1, 2]}})
    assert tree == {"spec": {"a": 1, "b": 2, "m": {"x": 1}, "l": [1, 2]}}
    assert owned(owners, "mary") == {("spec", "b"), ("spec", "m", "x"), ("spec", "l")}


def test_what_is_no_longer_applied_goes_with_its_last_owner() -> None:
    """Fields of others stay, and so does what two own as long as one of them applies it."""
    tree, owners = apply({}, (), "mary", {"m": {"x": 1, "y": 2}, "s": 1})
    tree, owners = apply(tree, owners, "paul", {"m": {"y": 2, "z": 3}})
    tree, owners = apply(tree, owners, "mary", {"s": 1})
    assert tree == {"m": {"y": 2, "z": 3}, "s": 1}
    tree, owners = apply(tree, owners, "paul", {})
    assert tree == {"s": 1}
    assert owned(owners, "paul") == set()


def test_another_value_than_the_owners_is_a_conflict_unless_it_is_forced() -> None:
    """The conflict names managers and fields; forcing takes the field away from them."""
    tree, owners = apply({}, (), "mary", {"spec": {"a": 1, "b": 1}})
    tree, owners = apply(tree, owners, "paul", {"spec": {"a": 1}})
    with pytest.raises(FieldConflicts, match="1 conflict") as raised:
        apply(tree, owners, "paul", {"spec": {"a": 2}})
    assert [(c.manager, c.field) for c in raised.value.conflicts] == [("mary", ".spec.a")]
    tree, owners = apply(tree, owners, "paul", {"spec": {"a": 2}}, force=True)
    assert tree == {"spec": {"a": 2, "b": 1}}
    assert owned(owners, "mary") == {("spec", "b")}


def test_a_manager_never_conflicts_with_its_own_apply() -> None:
    """Only others stand in the way."""
    tree, owners = apply({}, (), "mary", {"a": 1})
    tree, owners = apply(tree, owners, "mary", {"a": 2}, time=LATER)
    assert tree == {"a": 2}
    assert owners[-1].time == NOON  # the set is the same


def test_an_update_takes_what_it_changes_from_everybody() -> None:
    """What it leaves alone stays with its owners; what it removes is nobody's."""
    tree, owners = apply({}, (), "mary", {"m": {"x": 1, "y": 2}, "s": 1})
    owners = updated(tree, {"m": {"x": 5}, "s": 1, "new": 1}, owners, manager="kubectl", time=LATER)
    assert owned(owners, "mary") == {("s",)}
    assert owned(owners, "kubectl") == {("m", "x"), ("new",)}
    with pytest.raises(FieldConflicts):
        apply({"m": {"x": 5}, "s": 1, "new": 1}, owners, "mary", {"m": {"x": 1}, "s": 1})


def test_a_field_within_a_field_that_is_owned_whole_belongs_to_its_owner() -> None:
    """A map over a scalar, and the other way round."""
    tree, owners = apply({}, (), "mary", {"v": "text"})
    with pytest.raises(FieldConflicts):
        apply(tree, owners, "paul", {"v": {"ref": "x"}})
    tree, owners = apply(tree, owners, "paul", {"v": {"ref": "x"}}, force=True)
    assert (tree, owned(owners, "mary")) == ({"v": {"ref": "x"}}, set())


def test_updaters_are_bounded() -> None:
    """Whoever comes late shares an entry, and loses nothing."""
    tree: Tree = {"n": 0, "mine": 1}
    owners: tuple[Owner, ...] = (Owner(manager="mary", operation=APPLY, time=NOON, paths=frozenset({("mine",)})),)
    for n in range(200):
        new = {**tree, f"k{n}": n}
        owners, tree = updated(tree, new, owners, manager=f"m{n}", time=NOON), new
    assert len(owners) <= 65
    assert {path for owner in owners for path in owner.paths} == {("mine",), *((f"k{n}",) for n in range(200))}


def test_managed_fields_are_read_back() -> None:
    """Keys may hold dots and slashes; what other servers write within lists counts for the list."""
    paths = frozenset({("metadata", "labels", "a.b/c"), ("spec", "services")})
    owner = Owner(manager="m", operation=UPDATE, time=NOON, paths=paths)
    stored = to_managed_fields((owner,), "vendetta.dev/v1")
    assert owners_of(stored) == (owner,)
    assert decode({"f:spec": {"f:l": {".": {}, 'k:{"type":"x"}': {"f:type": {}}}}}) == {("spec", "l")}
    assert owners_of(({"operation": "Nonsense"}, {"operation": APPLY, "subresource": "status"}, {})) == ()


KEYS = st.sampled_from("abc")
TREES = st.recursive(st.integers(0, 2), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6).filter(
    lambda tree: isinstance(tree, dict)
)


@given(st.lists(st.tuples(st.sampled_from(["mary", "paul", "anne"]), TREES, st.booleans()), max_size=8))
def test_whatever_is_applied_nobody_owns_what_is_not_there(steps: list[tuple[str, Any, bool]]) -> None:
    """After each apply the tree holds the whole wish, and every owned path; a failed one changes nothing."""
    live: Tree = {}
    owners: tuple[Owner, ...] = ()
    for manager, wish, force in steps:
        try:
            live, owners = apply(live, owners, manager, wish, force=force)
        except FieldConflicts:
            assert not force
            continue
        there = leaves(live)
        assert leaves(wish).items() <= there.items()
        assert all(path in there for owner in owners for path in owner.paths)
        assert owned(owners, manager) == set(leaves(wish))
        assert decode(encode(there)) == there.keys()


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(tuple)


@given(st.frozensets(PATHS, max_size=12), PATHS)
def test_an_index_finds_what_a_look_at_each_finds(paths: frozenset[Path], path: Path) -> None:
    """The field itself, those within it, and those that it is within."""
    found = sorted(touched for touched, _ in Index((one, None) for one in paths).touching(path))
    assert found == sorted(one for one in paths if overlap(one, path))
