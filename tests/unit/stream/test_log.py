"""The log that all clients read from (contract E-4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.stream.client import Client
from api.stream.events import Event
from api.stream.log import CHUNK, EventLog, Lagged

TYPES = frozenset({"a"})


def event(revision: int, kind: str = "a", size: int = 10) -> Event:
    return Event(revision, kind, b"x" * size, b"%d;" % revision + b"y" * size)


def client(log: EventLog, types: frozenset[str] = TYPES) -> Client:
    return Client(log, "sse", types, None, None, 0.0)


def test_what_is_pending_is_joined_into_one_write() -> None:
    """E-4: few writes where it happens fast."""
    log = EventLog(0)
    reader = client(log)
    log.extend([event(1), event(2, "b"), event(3)], 3)
    assert reader.frames() == event(1).frame + event(3).frame
    assert reader.frames() == b""


def test_clients_at_one_place_share_one_object() -> None:
    """E-4: a thousand clients cost one join."""
    log = EventLog(0)
    one, other = client(log), client(log)
    log.extend([event(1), event(2)], 2)
    assert one.frames() is other.frames()


def test_a_write_is_about_a_chunk() -> None:
    """E-4: more would only sit in a slow client's buffers."""
    log = EventLog(0)
    reader = client(log)
    log.extend([event(n, size=CHUNK // 4) for n in range(1, 20)], 19)
    assert len(reader.frames()) < 2 * CHUNK


@pytest.mark.parametrize("limits", [{"max_events": 10}, {"max_bytes": 200}])
def test_it_is_bounded_and_whoever_stood_too_far_back_hears_of_it(limits: dict[str, int]) -> None:
    """E-4: a bounded queue."""
    log = EventLog(0, **limits)
    reader, fast = client(log), client(log)
    for n in range(1, 100):
        log.extend([event(n)], n)
        assert fast.frames() == event(n).frame
    assert log.floor > 50
    with pytest.raises(Lagged):
        reader.frames()
    with pytest.raises(Lagged):
        log.place_after(log.floor - 1)
    assert log.take(log.place_after(98), TYPES)[0] == [event(99)]


def test_what_the_snapshot_held_is_passed_over() -> None:
    """E-2: the log may be a little behind the store when the snapshot is taken."""
    log = EventLog(5)
    reader = client(log)
    reader.stand(8)
    log.extend([event(6)], 6)
    assert reader.frames() == b""
    log.extend([event(8), event(9)], 9)
    assert reader.frames() == event(9).frame


def test_a_log_that_starts_anew_leaves_nobody_where_he_was() -> None:
    """E-4: a gap is never passed over in silence."""
    log = EventLog(0)
    reader = client(log)
    log.restart(100)
    with pytest.raises(Lagged):
        reader.events()


@given(
    st.lists(st.lists(st.sampled_from("ab"), max_size=4), max_size=30),
    st.integers(min_value=0, max_value=40),
    st.integers(min_value=1, max_value=5),
)
def test_every_event_after_the_place_comes_once_and_in_order(
    batches: list[list[str]], after: int, pause: int
) -> None:
    """E-2: no gap, no repeat, however reading and writing interleave."""
    log, revision, told, seen = EventLog(0), 0, [], []
    reader = client(log)
    reader.stand(after)
    for number, batch in enumerate(batches):
        events = [event(revision + n + 1, kind) for n, kind in enumerate(batch)]
        revision += len(batch)
        log.extend(events, revision)
        told += [e.revision for e in events if e.type in TYPES and e.revision > after]
        if number % pause == 0:
            seen += [e.revision for e in reader.events()]
    seen += [e.revision for e in reader.events()]
    assert seen == told
