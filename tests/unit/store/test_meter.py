"""What a store measures of itself (contract D-4)."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from controller.resources.meta import ObjectMeta
from controller.resources.node import Node
from controller.runtime.clock import SystemClock
from controller.store.base import Create, Unavailable
from controller.store.open import open_store


async def test_it_counts_writes_and_knows_its_size(tmp_path: Path) -> None:
    """Each write once, in its time; bytes of the file."""
    store = open_store("sqlite", str(tmp_path / "db"), clock=SystemClock())
    await store.start()
    registry = CollectorRegistry()
    registry.register(store.meter)
    for name in ("a", "b", "c"):
        await store.write(Create(obj=Node(metadata=ObjectMeta(name=name))))
    assert registry.get_sample_value("vendetta_store_write_duration_seconds_count") == 3
    assert registry.get_sample_value("vendetta_store_revision") == store.revision()
    assert (registry.get_sample_value("vendetta_store_size_bytes") or 0) >= (tmp_path / "db").stat().st_size
    await store.aclose()


async def test_it_counts_writes_that_failed(tmp_path: Path) -> None:
    """They are none of the writes that were made."""

    def full(name: str) -> None:
        if name == "store.before-commit" and armed:
            raise OSError(28, "No space left on device")

    armed = False
    store = open_store("sqlite", str(tmp_path / "db"), clock=SystemClock(), failpoint=full)
    await store.start()
    armed = True
    with pytest.raises(Unavailable):
        await store.write(Create(obj=Node(metadata=ObjectMeta(name="a"))))
    assert (store.meter.failures, sum(store.meter.writes.buckets)) == (1, 0)
    await store.aclose()


async def test_a_store_without_a_disk_has_no_size() -> None:
    """And no metric of it."""
    store = open_store("memory", clock=SystemClock())
    await store.start()
    registry = CollectorRegistry()
    registry.register(store.meter)
    assert registry.get_sample_value("vendetta_store_size_bytes") is None
    await store.aclose()
