"""An unmodified kubectl changes things: in an editor, by status, by sets, by two managers at once (contract G-1)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.kubectl import Kubectl, Manifest, create, node, shown
from tests.support.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of these tests; each takes names of its own."""
    running = Server(tmp_path_factory.mktemp("server")).start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def kubectl(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """kubectl for that server."""
    return Kubectl(tmp_path_factory.mktemp("kubectl"), server.url)


def edited(kubectl: Kubectl, folder: Path, old: str, new: str, *arguments: str) -> tuple[int, str]:
    """How `kubectl edit` ends with an editor that replaces one text by another, and what it says."""
    editor = folder / "editor.py"
    editor.write_text(
        "import pathlib, sys\n"
        "file = pathlib.Path(sys.argv[1])\n"
        f"file.write_text(file.read_text().replace({old!r}, {new!r}))\n"
    )
    kubectl.environment["KUBE_EDITOR"] = f"{sys.executable} {editor}"
    done = kubectl.run("edit", *arguments)
    return done.returncode, done.stdout + done.stderr


def test_an_editor_changes_an_object(kubectl: Kubectl, tmp_path: Path) -> None:
    """G-1: what was saved is stored; nothing is, when nothing was changed or what was saved is wrong."""
    create(kubectl, node("edit-1", provider="lxc"))
    assert edited(kubectl, tmp_path, "provider: lxc", "provider: qemu", "node", "edit-1") == (
        0,
        "node.vendetta.dev/edit-1 edited\n",
    )
    assert shown(kubectl, "node", "edit-1")["spec"]["provider"] == "qemu"
    assert edited(kubectl, tmp_path, "x", "x", "node", "edit-1") == (0, "Edit cancelled, no changes made.\n")
    code, told = edited(kubectl, tmp_path, "provider:", "porvider:", "node", "edit-1")
    assert code == 1
    assert 'unknown field "spec.porvider"' in told


def test_a_replacement_is_of_the_version_that_was_read(kubectl: Kubectl) -> None:
    """G-1: an object that has changed since is not replaced; without a version whatever is there is."""
    create(kubectl, node("replace-1", provider="a"))
    read = shown(kubectl, "node", "replace-1")
    kubectl("label", "node", "replace-1", "since=then")
    read["spec"]["provider"] = "b"
    refused = kubectl.refused("replace", "-f", "-", stdin=yaml.safe_dump(read))
    assert "(Conflict)" in refused
    assert "the object has been modified; please apply your changes to the latest version" in refused
    del read["metadata"]["resourceVersion"]
    assert kubectl("replace", "-f", "-", stdin=yaml.safe_dump(read)) == "node.vendetta.dev/replace-1 replaced\n"
    assert shown(kubectl, "node", "replace-1")["spec"]["provider"] == "b"
    assert "(NotFound)" in kubectl.refused("replace", "-f", "-", stdin=yaml.safe_dump(node("replace-none")))


def test_two_managers_share_an_object_field_by_field(kubectl: Kubectl) -> None:
    """G-1: server-side apply; a conflict names the other one, and force takes the field away."""

    def apply(manager: str, manifest: Manifest, *more: str) -> tuple[str, ...]:
        return ("apply", "--server-side", f"--field-manager={manager}", "-f", "-", *more)

    ours, theirs = node("shared-1", provider="lxc", address="10.1.1.1"), node("shared-1", provider="qemu")
    kubectl(*apply("ours", ours), stdin=yaml.safe_dump(ours))
    refused = kubectl.refused(*apply("theirs", theirs), stdin=yaml.safe_dump(theirs))
    assert 'conflict with "ours" using vendetta.dev/v1: .spec.provider' in refused
    told = kubectl(*apply("theirs", theirs, "--force-conflicts"), stdin=yaml.safe_dump(theirs))
    assert told == "node.vendetta.dev/shared-1 serverside-applied\n"
    del ours["spec"]["provider"]
    kubectl(*apply("ours", ours), stdin=yaml.safe_dump(ours))
    found = shown(kubectl, "node", "shared-1", "--show-managed-fields")
    assert (found["spec"]["provider"], found["spec"]["address"]) == ("qemu", "10.1.1.1")
    owned = {entry["manager"]: entry["fieldsV1"]["f:spec"] for entry in found["metadata"]["managedFields"]}
    assert owned == {"ours": {"f:address": {}}, "theirs": {"f:provider": {}}}


def test_what_left_the_files_is_pruned(kubectl: Kubectl, tmp_path: Path) -> None:
    """G-1: among what carries the label and was applied, of the kinds that are named."""
    manifests = [node(f"prune-{number}") for number in range(3)]
    for manifest in manifests:
        manifest["metadata"]["labels"] = {"set": "prune"}
    file = tmp_path / "nodes.yaml"
    prune = ("apply", "-f", str(file), "--prune", "-l", "set=prune", "--prune-allowlist=vendetta.dev/v1/Node")
    file.write_text(yaml.safe_dump_all(manifests))
    kubectl(*prune)
    create(kubectl, node("prune-apart"))
    kubectl("label", "node", "prune-apart", "set=prune")
    file.write_text(yaml.safe_dump_all(manifests[:2]))
    rehearsed = kubectl(*prune, "--dry-run=server").splitlines()
    assert rehearsed[-1] == "node.vendetta.dev/prune-2 pruned (server dry run)"
    assert kubectl(*prune).splitlines() == [
        "node.vendetta.dev/prune-0 unchanged",
        "node.vendetta.dev/prune-1 unchanged",
        "node.vendetta.dev/prune-2 pruned",
    ]
    left = kubectl("get", "nodes", "-l", "set=prune", "-o", "name").split()
    assert left == [f"node.vendetta.dev/prune-{name}" for name in ("0", "1", "apart")]


def test_others_say_what_they_observe_in_the_status(kubectl: Kubectl, tmp_path: Path) -> None:
    """G-1: `--subresource=status`, by patch and in an editor; `kubectl wait` hears of it."""
    create(kubectl, node("status-1"))
    condition = (
        '{"type": "example.com/DiskHealthy", "status": "True", "reason": "Checked", '
        '"lastTransitionTime": "2026-01-13T18:17:00Z"}'
    )
    patch = ("patch", "node", "status-1", "--subresource=status", "--type=merge", "-p")
    kubectl(*patch, f'{{"status": {{"conditions": [{condition}]}}}}')
    kubectl("wait", "--for=condition=example.com/DiskHealthy", "node/status-1", "--timeout=10s")
    status = shown(kubectl, "node", "status-1", "--subresource=status")["status"]
    assert [c["type"] for c in status["conditions"]] == ["Reachable", "Ready", "example.com/DiskHealthy"]
    warned = kubectl.run(*patch, '{"status": {"phase": "inactive"}}')
    assert warned.returncode == 0
    assert warned.stderr == "Warning: status.phase is the server's own and stays as it is\n"
    edit = ("node", "status-1", "--subresource=status")
    assert edited(kubectl, tmp_path, "reason: Checked", "reason: Looked", *edit)[0] == 0
    assert "Looked" in kubectl("describe", "node", "status-1")
    assert "status-1" in kubectl("get", "node", "status-1", "--subresource=status")
    assert kubectl.run("auth", "can-i", "patch", "nodes.vendetta.dev", "--subresource=status").stdout == "yes\n"
