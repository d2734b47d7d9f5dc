"""A folder of manifests as a source of nodes (contract A-12): what is applied, what is removed, what never is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from controller.admission import Admission
from controller.announce import announce
from controller.contacts import Contacts
from controller.metrics import Metrics
from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec
from controller.runtime.clock import SystemClock
from controller.sources.directory import Directory
from controller.sources.manifests import MANAGER, SOURCE, ManifestSource, is_ours
from controller.sources.told import SourceLog
from controller.store.base import Store, Update
from controller.store.open import open_store
from tests.support.world import ADMIN


def manifest(name: str, **spec: object) -> str:
    """A node, as people write it."""
    return yaml.safe_dump({"apiVersion": "vendetta.dev/v1", "kind": "Node", "metadata": {"name": name}, "spec": spec})


@dataclass
class Folder:
    """A folder with its source. `interval` 0 would apply everything at each look, as a resync does."""

    path: Path
    store: Store
    admission: Admission
    metrics: Metrics
    told: SourceLog
    source: ManifestSource

    def write(self, name: str, *documents: str) -> None:
        """Write a file."""
        (self.path / name).write_text("---\n".join(documents))

    async def settle(self) -> None:
        """Two looks: the first finds a change, the second one finds it unchanged."""
        await self.source.look()
        await self.source.look()

    def names(self) -> list[str]:
        """The nodes that there are."""
        return [node.name for node in self.store.list("Node").items]

    def node(self, name: str) -> Node:
        """A node as stored."""
        node = self.store.get("Node", name)
        assert isinstance(node, Node)
        return node

    async def create(self, name: str, **annotations: str) -> None:
        """A node that somebody creates through the API."""
        await self.admission.nodes.create(Node(metadata=ObjectMeta(name=name, annotations=annotations)), ADMIN)

    async def change(self, name: str, **spec: object) -> None:
        """An admin changes a node."""

        def changed(old: Node) -> Node:
            return old.model_copy(update={"spec": old.spec.model_copy(update=spec)})

        await self.admission.nodes.update(name, changed, ADMIN)

    def reasons(self) -> list[str]:
        """What the events tell."""
        return [happening.reason for happening in self.told.all()]

    def problems(self) -> float:
        """The metric."""
        return self.metrics.registry.get_sample_value("vendetta_manifest_problems") or 0.0


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., Folder]]:
    clock = SystemClock()
    store = open_store("memory", clock=clock, announce=announce)
    await store.start()
    admission = Admission(store=store, clock=clock, contacts=Contacts(), node_timeout=60_000_000_000)

    def make(interval: float = 3600.0, path: Path = tmp_path) -> Folder:
        metrics, told = Metrics(), SourceLog()
        source = ManifestSource(
            Directory(path),
            store=store,
            admission=admission,
            clock=clock,
            metrics=metrics,
            told=told,
            interval=interval,
        )
        return Folder(path, store, admission, metrics, told, source)

    yield make
    await store.aclose()


@pytest.fixture
def folder(make: Callable[..., Folder]) -> Folder:
    return make()


async def test_what_is_in_the_folder_is_made_so_and_marked(folder: Folder) -> None:
    """A-12: through admission, with the defaults of a node, under a field manager of its own."""
    folder.write("nodes.yaml", manifest("a", address="10.0.0.1"), manifest("b", port=22))
    folder.write("more.json", '{"apiVersion": "vendetta.dev/v1", "kind": "Node", "metadata": {"name": "c"}}')
    await folder.settle()
    assert folder.names() == ["a", "b", "c"]
    node = folder.node("a")
    assert node.spec.address == "10.0.0.1"
    assert node.status.phase == "active"
    assert node.metadata.annotations == {SOURCE: "manifests"}
    assert [entry["manager"] for entry in node.metadata.managed_fields] == [MANAGER]
    assert folder.reasons() == ["Applied"]


async def test_a_change_counts_once_it_is_seen_twice(folder: Folder) -> None:
    """A-12: a file that is still being written is not taken for what is wanted."""
    folder.write("nodes.yaml", manifest("a"))
    await folder.source.look()
    assert folder.names() == []
    folder.write("nodes.yaml", manifest("a"), manifest("b"))
    await folder.source.look()
    assert folder.names() == []
    await folder.source.look()
    assert folder.names() == ["a", "b"]


async def test_what_leaves_the_folder_is_removed_and_nothing_else(folder: Folder) -> None:
    """A-12: pruned inside that source only."""
    await folder.create("theirs")
    folder.write("a.yaml", manifest("a"))
    folder.write("b.yaml", manifest("b"), manifest("c"))
    await folder.settle()
    (folder.path / "a.yaml").unlink()
    folder.write("b.yaml", manifest("b"))
    await folder.settle()
    assert folder.names() == ["b", "theirs"]


async def test_it_removes_after_a_restart_what_left_while_it_was_away(make: Callable[..., Folder]) -> None:
    """A-12: what is whose stands in the objects, not in memory."""
    first = make()
    first.write("nodes.yaml", manifest("a"), manifest("b"))
    await first.settle()
    first.write("nodes.yaml", manifest("b"))
    await make().settle()
    assert first.names() == ["b"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("{not yaml\n", "broken.yaml:2: did not find"),
        (manifest("b", adress="10.0.0.1"), "broken.yaml:6: unknown key 'spec.adress': did you mean 'address'?"),
        (manifest("c").replace("Node", "Pod"), "broken.yaml:2: unknown kind 'Pod'"),
        ("apiVersion: vendetta.dev/v1\nkind: {Node: b}\n", "broken.yaml:2: unknown kind {'Node': 'b'}"),
        (manifest("a"), "broken.yaml:1: node/a is here twice, first at a.yaml:1"),
        (
            "apiVersion: vendetta.dev/v1\nkind: Command\nmetadata: {name: c}\nspec: {node: a, action: 'true'}\n",
            "command/c: a folder can want nodes only",
        ),
    ],
)
async def test_a_file_that_is_wrong_is_reported_and_the_rest_is_applied(
    folder: Folder, wrong: str, told: str
) -> None:
    """A-12: in an event and a metric, with file and line."""
    folder.write("a.yaml", manifest("a"))
    folder.write("broken.yaml", wrong)
    folder.write("z.yaml", manifest("z"))
    await folder.settle()
    assert folder.names() == ["a", "z"]
    assert folder.problems() == 1
    (happening,) = [h for h in folder.told.all() if h.reason == "InvalidManifest"]
    assert happening.warning
    assert told in happening.message


@pytest.mark.parametrize("wrong", ["{not yaml", "kind: Nod\n", manifest("a", prt=1)])
async def test_a_file_that_became_wrong_removes_nothing_until_it_is_right_again(folder: Folder, wrong: str) -> None:
    """A-12: it may mean the very node that is missing; the others still get what is new."""
    folder.write("a.yaml", manifest("a"))
    folder.write("b.yaml", manifest("b"))
    await folder.settle()
    folder.write("a.yaml", wrong)
    (folder.path / "b.yaml").unlink()
    folder.write("c.yaml", manifest("c"))
    await folder.settle()
    assert folder.names() == ["a", "b", "c"]
    folder.write("a.yaml", manifest("a"))
    await folder.settle()
    assert folder.names() == ["a", "c"]
    assert folder.problems() == 0


async def test_a_link_to_nowhere_is_no_file_that_left(folder: Folder) -> None:
    """A-12: unreadable is not gone."""
    folder.write("a.yaml", manifest("a"))
    await folder.settle()
    (folder.path / "a.yaml").unlink()
    (folder.path / "a.yaml").symlink_to("elsewhere.yaml")
    await folder.settle()
    assert folder.names() == ["a"]
    assert folder.problems() == 1


async def test_a_folder_that_is_not_there_removes_nothing(make: Callable[..., Folder], tmp_path: Path) -> None:
    """A-12: a volume that is not mounted yet says nothing about what is wanted."""
    folder = make(path=tmp_path / "mounted")
    folder.path.mkdir()
    folder.write("a.yaml", manifest("a"))
    await folder.settle()
    away = folder.path.rename(tmp_path / "away")
    await folder.settle()
    assert (folder.names(), folder.problems()) == (["a"], 1)
    assert "Unreadable" in folder.reasons()
    away.rename(folder.path)
    await folder.settle()
    assert (folder.names(), folder.problems()) == (["a"], 0)


async def test_a_mounted_config_map_is_followed(folder: Folder) -> None:
    """A-12: its files are links through `..data`, which is swapped at once."""

    def publish(version: str, *documents: str) -> None:
        (folder.path / version).mkdir()
        (folder.path / version / "nodes.yaml").write_text("---\n".join(documents))
        (folder.path / "..data_tmp").symlink_to(version)
        (folder.path / "..data_tmp").rename(folder.path / "..data")

    publish("..2026_01", manifest("a"), manifest("b"))
    (folder.path / "nodes.yaml").symlink_to("..data/nodes.yaml")
    await folder.settle()
    assert folder.names() == ["a", "b"]
    publish("..2026_02", manifest("b"), manifest("c"))
    await folder.settle()
    assert folder.names() == ["b", "c"]


async def test_a_node_of_somebody_else_stays_until_it_is_handed_over(folder: Folder) -> None:
    """A-12: what others created is never touched."""
    await folder.create("a")
    folder.write("a.yaml", manifest("a", address="10.0.0.1"))
    await folder.settle()
    assert folder.node("a").spec.address == ""
    assert folder.reasons() == ["NotOwned"]
    given = folder.node("a")
    metadata = given.metadata.model_copy(update={"annotations": {SOURCE: "manifests"}})
    await folder.store.write(Update(obj=given.model_copy(update={"metadata": metadata})))
    folder.write("a.yaml", manifest("a", address="10.0.0.2"))
    await folder.settle()
    assert folder.node("a").spec.address == "10.0.0.2"


async def test_a_node_stays_its_own_when_its_annotations_are_replaced(folder: Folder) -> None:
    """A-12: a client that replaces all metadata takes no node out of the source."""
    folder.write("a.yaml", manifest("a", address="10.0.0.1"))
    await folder.settle()

    def bare(old: Node) -> Node:
        return old.model_copy(update={"metadata": old.metadata.model_copy(update={"annotations": {"x": "y"}})})

    await folder.admission.nodes.update("a", bare, ADMIN)
    assert is_ours(folder.node("a"))
    (folder.path / "a.yaml").unlink()
    await folder.settle()
    assert folder.names() == []


async def test_what_somebody_changes_is_made_right_again_and_the_rest_stays(make: Callable[..., Folder]) -> None:
    """A-12: level-based, and field by field: a cordon that no manifest speaks of is not its business."""
    folder = make(interval=0)
    folder.write("a.yaml", manifest("a", address="10.0.0.1"))
    await folder.settle()
    await folder.change("a", address="10.6.6.6", unschedulable=True)
    await folder.source.look()
    assert (folder.node("a").spec.address, folder.node("a").spec.unschedulable) == ("10.0.0.1", True)


async def test_a_field_that_leaves_the_manifest_leaves_the_node(folder: Folder) -> None:
    """A-12: as server-side apply does it."""
    folder.write("a.yaml", manifest("a", address="10.0.0.1", capabilities={"docker": True, "gpu": True}))
    await folder.settle()
    folder.write("a.yaml", manifest("a", capabilities={"docker": True}))
    await folder.settle()
    assert folder.node("a").spec == NodeSpec(capabilities={"docker": True})


async def test_a_resync_of_what_is_as_it_should_be_writes_nothing(make: Callable[..., Folder]) -> None:
    """A-12: a fleet at rest costs no writes."""
    folder = make(interval=0)
    folder.write("nodes.yaml", *(manifest(f"n{n}", address="10.0.0.1") for n in range(200)))
    await folder.settle()
    revision = folder.store.revision()
    await folder.settle()
    assert len(folder.names()) == 200
    assert folder.store.revision() == revision


async def test_looks_take_turns_with_the_rest_of_the_server(folder: Folder) -> None:
    """A-12: a big folder does not stop the loop: something else runs while it is applied."""
    folder.write("nodes.yaml", *(manifest(f"n{n}") for n in range(200)))
    await folder.source.look()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    beside = asyncio.create_task(other())
    await folder.source.look()
    beside.cancel()
    assert turns > 3
