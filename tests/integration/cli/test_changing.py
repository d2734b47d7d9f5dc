"""create, edit, wait, explain, sets and rehearsals against a real server (contract F-2)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.conftest import CLI
from tests.support.server import Server

NODE = """\
apiVersion: vendetta.dev/v1
kind: Node
metadata: {{name: {name}}}
spec: {{address: 127.0.0.1, port: 1, provider: lxc, transport: {{type: ssh}}}}
---
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of these tests; each takes names of its own."""
    running = Server(tmp_path_factory.mktemp("server"), registry={"provider": "memory"}).start()
    yield running
    running.close()


def nodes(*names: str) -> str:
    """Manifests of nodes that are nowhere."""
    return "".join(NODE.format(name=name) for name in names)


def with_editor(vendetta: CLI, *replacements: tuple[str, str]) -> None:
    """An editor that replaces, each time that it is opened, one text by another."""
    script = vendetta.write(
        "editor.py",
        "import pathlib, sys\n"
        "file, count = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).with_suffix('.count')\n"
        "turn = len(count.read_text()) if count.exists() else 0\n"
        "count.write_text('x' * (turn + 1))\n"
        "pathlib.Path(__file__).with_suffix('.seen').write_text(file.read_text())\n"
        f"old, new = {list(replacements)!r}[min(turn, {len(replacements) - 1})]\n"
        "file.write_text(file.read_text().replace(old, new))\n",
    )
    vendetta.environ["EDITOR"] = f"{sys.executable} {script}"
    (vendetta.folder / "editor.count").unlink(missing_ok=True)


def test_an_object_is_edited(vendetta: CLI, server: Server) -> None:
    """F-2: what was changed is stored, and what others changed meanwhile stays."""
    vendetta("create", "-f", "-", stdin=nodes("edit-1").encode())
    with_editor(vendetta, ("provider: lxc", "provider: qemu"))
    assert vendetta("edit", "node", "edit-1").text == "node/edit-1 edited\n"
    seen = (vendetta.folder / "editor.seen").read_text()
    assert "status:" not in seen
    assert "resourceVersion" not in seen
    found = server.http.get("/api/v1/nodes/edit-1").json()
    assert (found["provider"], found["address"]) == ("qemu", "127.0.0.1")
    with_editor(vendetta, ("x", "x"))
    assert vendetta("edit", "node/edit-1").text == "node/edit-1 unchanged\n"


def test_a_mistake_opens_the_editor_again_and_tells(vendetta: CLI) -> None:
    """F-2: with what is wrong; saved once more it ends, and what was written is kept."""
    vendetta("create", "-f", "-", stdin=nodes("edit-2").encode())
    with_editor(vendetta, ("provider:", "porvider:"), ("porvider: lxc", "provider: qemu"))
    assert vendetta("edit", "node", "edit-2").text == "node/edit-2 edited\n"
    assert "# " in (seen := (vendetta.folder / "editor.seen").read_text())
    assert "unknown key 'spec.porvider': did you mean 'provider'?" in seen
    with_editor(vendetta, ("port: 1", "port: 99999"), ("x", "x"))
    failed = vendetta("edit", "node", "edit-2", expect=1)
    assert "spec.port" in failed.err
    kept = Path(failed.err.rpartition("what was written is in ")[2].strip())
    assert "port: 99999" in kept.read_text()
    kept.unlink()


def test_an_edit_does_not_undo_what_somebody_else_did(vendetta: CLI, server: Server) -> None:
    """F-2: the same field, changed while the editor was open, is a conflict."""
    vendetta("create", "-f", "-", stdin=nodes("edit-3").encode())
    script = vendetta.write(
        "meanwhile.py",
        "import pathlib, sys, urllib.request\n"
        f"url = {server.url!r} + '/api/v1/nodes/edit-3'\n"
        "body, kind = b'{\"provider\": \"kvm\"}', {'Content-Type': 'application/json'}\n"
        "urllib.request.urlopen(urllib.request.Request(url, body, kind, method='PUT'))\n"
        "file = pathlib.Path(sys.argv[1])\n"
        "file.write_text(file.read_text().replace('provider: lxc', 'provider: qemu'))\n",
    )
    vendetta.environ["VISUAL"] = f"{sys.executable} {script}"
    failed = vendetta("edit", "node", "edit-3", expect=1)
    assert "spec.provider has been changed by somebody else meanwhile" in failed.err
    assert server.http.get("/api/v1/nodes/edit-3").json()["provider"] == "kvm"
    Path(failed.err.rpartition("what was written is in ")[2].strip()).unlink()


def test_an_editor_that_fails_changes_nothing(vendetta: CLI) -> None:
    """F-3: 1 for one that fails, 2 for one that is not there."""
    vendetta("create", "-f", "-", stdin=nodes("edit-4").encode())
    vendetta.environ["EDITOR"] = "false"
    assert "ended with code 1" in vendetta("edit", "node", "edit-4", expect=1).err
    vendetta.environ["EDITOR"] = "no-such-editor"
    assert "(set VISUAL or EDITOR): No such file or directory\n" in vendetta("edit", "node", "edit-4", expect=2).err


def test_it_waits_until_things_are_as_they_should_be(vendetta: CLI, server: Server) -> None:
    """F-2: also for what does not exist yet; a timeout tells how things are instead."""
    waiting = vendetta.start("wait", "node/wait-1", "--for", "jsonpath={.spec.provider}=qemu", "--timeout", "30s")
    try:
        vendetta("create", "-f", "-", stdin=nodes("wait-1").encode())
        assert server.http.put("/api/v1/nodes/wait-1", json={"provider": "qemu"}).is_success
        out, err = waiting.communicate(timeout=40)
    finally:
        waiting.kill()
    assert (waiting.returncode, out) == (0, b"node/wait-1 condition met\n"), err
    late = vendetta("wait", "node/wait-1", "node/never", "--for=condition=Ready=Later", "--timeout=100ms", expect=1)
    assert "timed out after 100ms" in late.err
    assert "node/wait-1: Ready is " in late.err
    assert "node/never: it does not exist" in late.err
    assert vendetta("wait", "node/never", "--for=delete").text == "node/never deleted\n"
    told = vendetta("wait", "nodes", "-l", "no=such", "--timeout=0s", "-o", "json", expect=1)
    assert told.json == {"met": [], "missing": []}
    assert "give names or a selector" in vendetta("wait", "nodes", expect=2).err


def test_it_waits_for_an_object_to_go(vendetta: CLI) -> None:
    """F-2: --for=delete; one that was made again under the name is another one."""
    vendetta("create", "-f", "-", stdin=nodes("wait-2").encode())
    waiting = vendetta.start("wait", "node/wait-2", "--for=delete", "--timeout=30s")
    try:
        assert vendetta("wait", "node/wait-2", "--for=delete", "--timeout=0s", expect=1).err.endswith(
            "node/wait-2: it is still there\n"
        )
        vendetta("delete", "node", "wait-2")
        vendetta("create", "-f", "-", stdin=nodes("wait-2").encode())
        assert waiting.communicate(timeout=40)[0] == b"node/wait-2 deleted\n"
    finally:
        waiting.kill()


def test_what_left_the_files_of_a_set_is_pruned(vendetta: CLI) -> None:
    """F-2: only inside the named set, only when all could be applied, and not what another set has."""
    vendetta.write("n.yaml", nodes("prune-1", "prune-2"))
    vendetta.write("other.yaml", nodes("prune-3"))
    vendetta("apply", "-f", "n.yaml", "--set", "ours")
    vendetta("apply", "-f", "other.yaml", "--set", "theirs")
    vendetta.write("n.yaml", nodes("prune-1"))
    assert "give --set NAME" in vendetta("apply", "-f", "n.yaml", "--prune", expect=2).err
    for where in ("client", "server"):
        told = vendetta("apply", "-f", "n.yaml", "--set=ours", "--prune", f"--dry-run={where}").text
        assert told.splitlines()[-1] == f"node/prune-2 pruned ({where} dry run)"
    vendetta.write("both.yaml", nodes("prune-1", "prune-3"))
    refused = vendetta("apply", "-f", "both.yaml", "--set=ours", "--prune", expect=1)
    assert "it belongs to the set 'theirs'" in refused.err
    assert "nothing is pruned" in refused.err
    done = vendetta("apply", "-f", "n.yaml", "--set=ours", "--prune", "-o", "json").json
    assert [(one["name"], one["result"]) for one in done] == [
        ("node/prune-1", "unchanged"),
        ("node/prune-2", "pruned"),
    ]
    left = vendetta("get", "nodes", "-l", "vendetta.dev/set", "-o", "name").text
    assert left == "node/prune-1\nnode/prune-3\n"
    assert vendetta("apply", "-f", "n.yaml").text == "node/prune-1 configured\n"
    assert vendetta("get", "nodes", "-l", "vendetta.dev/set=ours", "-o", "name").text == ""


def test_creation_and_deletion_are_rehearsed(vendetta: CLI) -> None:
    """F-2: --dry-run=client and server; a name that is taken is an error, one that is missing is made."""
    vendetta.write("n.yaml", nodes("dry-1"))
    for where in ("client", "server"):
        assert (
            vendetta("create", "-f", "n.yaml", f"--dry-run={where}").text == f"node/dry-1 created ({where} dry run)\n"
        )
    vendetta("create", "-f", "n.yaml")
    again = vendetta("create", "-f", "n.yaml", "--dry-run=server", expect=1)
    assert 'n.yaml:1: node/dry-1: nodes.vendetta.dev "dry-1" already exists' in again.err
    for where in ("client", "server"):
        assert (
            vendetta("delete", "-f", "n.yaml", f"--dry-run={where}").text == f"node/dry-1 deleted ({where} dry run)\n"
        )
        vendetta("delete", "node", "nobody", f"--dry-run={where}", expect=1)
    vendetta("get", "node", "dry-1")
    made = "apiVersion: vendetta.dev/v1\nkind: Node\nmetadata: {generateName: dry-}\n"
    assert vendetta("create", "-f", "-", stdin=made.encode()).text.startswith("node/dry-")


def test_it_explains_what_the_server_knows(vendetta: CLI) -> None:
    """F-2: fields with their types, what they are for, and what a value has to be; for programs, too."""
    told = vendetta("explain", "node.spec.transport").text
    assert told.startswith("KIND:  Node\nFIELD: spec.transport <TransportSpec>\n")
    assert "  hostKeyPolicy <string>\n" in told
    assert "one of: strict, accept-new, insecure" in told
    tree = vendetta("explain", "vcmd.spec", "--recursive").text
    assert "    deliveryTimeout <string>" in tree
    assert "node <string> -required-" in tree
    data = vendetta("explain", "node.spec.port", "-o", "json").json
    assert (data["type"], data["minimum"], data["maximum"], data["fields"]) == ("integer", 1, 65535, [])
    assert (
        vendetta("explain", "node.metadata.labels").text.splitlines()[1]
        == "FIELD: metadata.labels <map[string]string>"
    )
    wrong = vendetta("explain", "node.spec.colour", expect=2).err
    assert 'there is no field "colour" in spec: there are address, capabilities' in wrong
