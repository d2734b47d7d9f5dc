"""An unmodified kubectl against a running server (contract G-1)."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.keys import KeyPair
from tests.support.kubectl import Kubectl, Manifest, command, create, node, shown
from tests.support.nodes import Farm, SshdNode, find_program
from tests.support.server import Server

pytestmark = pytest.mark.sshd

NODES = "/apis/vendetta.dev/v1/nodes"


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


@pytest.fixture(scope="module")
def machine(server: Server, tmp_path_factory: pytest.TempPathFactory, client_key: KeyPair) -> Iterator[SshdNode]:
    """A machine with sshd, which the server holds the key of."""
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    farm = Farm(tmp_path_factory.mktemp("farm"), client_key)
    node = asyncio.run(farm.sshd())
    server.credential("key", node)
    yield node
    farm.close()


def reached(name: str, machine: SshdNode) -> Manifest:
    """A manifest of a node that is that machine."""
    transport = {
        "type": "ssh",
        "user": machine.user,
        "port": machine.port,
        "credentialRef": "key",
        "hostKeys": [machine.host_key],
    }
    return node(name, address=machine.address, transport=transport)


def test_it_finds_the_resources(kubectl: Kubectl) -> None:
    """G-1: by their names, and nothing that it then cannot reach."""
    lines = [line.split() for line in kubectl("api-resources", "--no-headers").splitlines()]
    assert ["nodes", "vn", "vendetta.dev/v1", "false", "Node"] in lines
    assert ["commands", "vcmd", "vendetta.dev/v1", "false", "Command"] in lines
    assert "vendetta.dev/v1" in kubectl("api-versions").splitlines()
    assert "+vendetta-" in kubectl("version")


def test_it_explains_every_field(kubectl: Kubectl) -> None:
    """G-1: with the descriptions of the models."""
    told = kubectl("explain", "node.spec.transport")
    assert "transport <TransportSpec>" in told
    assert "A file (or folder) in the server's credentials directory." in told
    assert "enum: strict, accept-new, insecure" in told
    tree = kubectl("explain", "vcmd", "--recursive")
    for field in ("deliveryTimeout\t<string>", "exitCode\t<integer>", "labels\t<map[string]string>"):
        assert field in tree
    assert 'field "colour" does not exist' in kubectl.refused("explain", "node.spec.colour")


def test_it_shows_tables_and_every_other_form(kubectl: Kubectl) -> None:
    """G-1: columns of our own, wide ones, and what scripts read."""
    create(kubectl, node("form-1", address="10.9.0.1", provider="lxc", displayName="Form"))
    heads, row = (line.split() for line in kubectl("get", "vn", "form-1").splitlines())
    assert heads == ["NAME", "STATUS", "PROVIDER", "ADDRESS", "TRANSPORT", "LAST-SEEN", "AGE"]
    assert row[:5] == ["form-1", "active", "lxc", "10.9.0.1", "http"]
    wide = kubectl("get", "node", "form-1", "-o", "wide").splitlines()
    assert wide[0].split()[7:] == ["READY", "REACHABLE", "HOST-KEY", "SERVICES", "DISPLAY-NAME"]
    assert wide[1].split()[-1] == "Form"
    whole = shown(kubectl, "node", "form-1")
    assert yaml.safe_load(kubectl("get", "node", "form-1", "-o", "yaml"))["spec"] == whole["spec"]
    assert kubectl("get", "node", "form-1", "-o", "jsonpath={.spec.address}") == "10.9.0.1"
    columns = kubectl("get", "node", "form-1", "-o", "custom-columns=N:.metadata.name,P:.status.phase")
    assert columns.split() == ["N", "P", "form-1", "active"]
    assert kubectl("get", "node", "form-1", "-o", "name") == "node.vendetta.dev/form-1\n"
    assert "node.vendetta.dev/form-1" in kubectl("get", "all")
    assert {"Address:": "10.9.0.1", "Phase:": "active"}.items() <= described(kubectl, "form-1").items()


def described(kubectl: Kubectl, name: str) -> dict[str, str]:
    """The lines of `describe` that have one word."""
    words = [line.split() for line in kubectl("describe", "node", name).splitlines()]
    return {pair[0]: pair[1] for pair in words if len(pair) == 2}


def test_it_shows_what_happened(kubectl: Kubectl) -> None:
    """G-1: events in a table, by `kubectl events`, and under what it describes."""
    create(kubectl, node("told-1"))
    selected = ("--field-selector", "involvedObject.name=told-1")
    heads, *rows = kubectl("get", "events", *selected).splitlines()
    assert heads.split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert any("Registered" in row and "node/told-1" in row for row in rows)
    assert "Registered" in kubectl("events", "--for", "node.v1.vendetta.dev/told-1")
    assert "Registered" in kubectl("describe", "node", "told-1").partition("Events:")[2]


def test_it_reads_a_list_in_chunks(kubectl: Kubectl) -> None:
    """G-1: every one of them, once."""
    names = [f"chunk-{number}" for number in range(7)]
    create(kubectl, *(node(name) for name in names))
    kubectl("label", "node", *names, "set=chunk")
    listed = kubectl("get", "nodes", "--chunk-size=2", "-l", "set in (chunk)", "-o", "name").split()
    assert listed == [f"node.vendetta.dev/{name}" for name in names]
    rows = kubectl("get", "nodes", "--chunk-size=2", "-l", "set=chunk", "--no-headers").splitlines()
    assert [row.split()[0] for row in rows] == names
    one = kubectl("get", "nodes", "--field-selector", "metadata.name=chunk-3,status.phase=active", "-o", "name")
    assert one == "node.vendetta.dev/chunk-3\n"


def test_it_applies_and_sees_what_would_change(kubectl: Kubectl, tmp_path: Path) -> None:
    """G-1: client-side apply by merge patch, again without a change, and the difference before the next one."""
    file = tmp_path / "node.yaml"

    def apply(manifest: Manifest, *more: str) -> str:
        file.write_text(yaml.safe_dump(manifest))
        return kubectl("apply", "-f", str(file), *more).strip()

    wish = node("apply-1", address="10.9.1.1", provider="lxc")
    assert apply(wish, "--dry-run=server") == "node.vendetta.dev/apply-1 created (server dry run)"
    assert apply(wish) == "node.vendetta.dev/apply-1 created"
    assert apply(wish) == "node.vendetta.dev/apply-1 unchanged"
    del wish["spec"]["provider"]
    wish["spec"]["address"] = "10.9.1.2"
    file.write_text(yaml.safe_dump(wish))
    difference = kubectl.run("diff", "-f", str(file))
    assert difference.returncode == 1, difference
    assert "-  address: 10.9.1.1" in difference.stdout
    assert "+  address: 10.9.1.2" in difference.stdout
    assert apply(wish, "--dry-run=server") == "node.vendetta.dev/apply-1 configured (server dry run)"
    assert shown(kubectl, "node", "apply-1")["spec"]["address"] == "10.9.1.1"
    assert apply(wish) == "node.vendetta.dev/apply-1 configured"
    spec = shown(kubectl, "node", "apply-1")["spec"]
    assert (spec["address"], spec["provider"]) == ("10.9.1.2", "")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))


def test_it_labels_annotates_and_patches(kubectl: Kubectl) -> None:
    """G-1: by merge patch and by JSON patch; the strategic one is for built-in kinds, and it says so."""
    create(kubectl, node("patch-1"))
    kubectl("label", "node", "patch-1", "env=dev")
    assert "already has a value" in kubectl.refused("label", "node", "patch-1", "env=prod")
    kubectl("label", "node", "patch-1", "env=prod", "--overwrite")
    kubectl("annotate", "node", "patch-1", "note=by hand")
    kubectl("patch", "node", "patch-1", "--type", "merge", "-p", '{"spec": {"provider": "lxc"}}')
    operations = '[{"op": "replace", "path": "/spec/provider", "value": "qemu"}]'
    kubectl("patch", "node", "patch-1", "--type", "json", "-p", operations)
    found = shown(kubectl, "node", "patch-1")
    assert found["metadata"]["labels"] == {"env": "prod"}
    assert found["metadata"]["annotations"] == {"note": "by hand"}
    assert found["spec"]["provider"] == "qemu"
    kubectl("label", "node", "patch-1", "env-")
    assert "labels" not in shown(kubectl, "node", "patch-1")["metadata"]
    assert "strategic-merge-patch+json is not supported" in kubectl.refused("patch", "node", "patch-1", "-p", "{}")


def test_mistakes_are_printed_as_kubernetes_prints_them(kubectl: Kubectl) -> None:
    """G-1: each from reason, details and causes."""
    create(kubectl, node("twice-1"))
    for manifest, complaint in (
        (
            node("twice-1"),
            'Error from server (AlreadyExists): error when creating "STDIN": nodes.vendetta.dev "twice',
        ),
        (node("typo-1", adress="x"), 'strict decoding error: unknown field "spec.adress"'),
        (node("port-1", port=99999), 'The Node "port-1" is invalid: spec.port: '),
    ):
        assert complaint in kubectl.refused("create", "-f", "-", stdin=yaml.safe_dump(manifest))
    missing = 'Error from server (NotFound): nodes.vendetta.dev "nobody" not found\n'
    assert kubectl.refused("get", "node", "nobody") == missing
    assert kubectl.refused("delete", "node", "nobody") == missing
    warned = kubectl.run("create", "--validate=warn", "-f", "-", stdin=yaml.safe_dump(node("typo-2", adress="x")))
    assert (warned.returncode, warned.stderr) == (0, 'Warning: unknown field "spec.adress"\n')
    assert "field label not supported: spec.port" in kubectl.refused(
        "get", "nodes", "--field-selector", "spec.port=1"
    )


def test_it_deletes_and_rehearses_that(kubectl: Kubectl) -> None:
    """G-1: a dry run deletes nothing; a deletion returns once the object is gone; one by one or selected."""
    create(kubectl, *(node(f"gone-{number}") for number in range(4)))
    kubectl("delete", "node", "gone-0", "--dry-run=server")
    assert shown(kubectl, "node", "gone-0")
    assert kubectl("delete", "node", "gone-0") == 'node.vendetta.dev "gone-0" deleted\n'
    kubectl("label", "node", "gone-1", "gone-2", "set=gone")
    kubectl("delete", "nodes", "-l", "set=gone")
    assert kubectl("get", "node", "gone-3", "--ignore-not-found", "-o", "name")
    assert kubectl("get", "node", "gone-0", "gone-1", "gone-2", "--ignore-not-found") == ""
    kubectl("delete", "-f", "-", "--cascade=foreground", stdin=yaml.safe_dump(node("gone-3")))


def test_it_waits_for_a_machine_and_runs_something_there(kubectl: Kubectl, machine: SshdNode) -> None:
    """G-2, G-3: Ready, then a command that it creates, and its end with code and output."""
    create(kubectl, reached("real-1", machine))
    kubectl("wait", "--for=condition=Ready", "node/real-1", "--timeout=30s")
    made = kubectl("create", "-f", "-", "-o", "name", stdin=yaml.safe_dump(command("real-1", "echo hello; exit 3")))
    name = made.strip()
    assert name.startswith("command.vendetta.dev/run-")
    kubectl("wait", "--for=condition=Complete", name, "--timeout=30s")
    kubectl("wait", "--for=jsonpath={.status.phase}=error", name, "--timeout=30s")
    kubectl("wait", "--for=condition=Failed=true", name, "--timeout=30s")
    assert kubectl("get", name, "-o", "jsonpath={.status.exitCode} {.status.output}") == "3 hello"
    heads, row = (line.split() for line in kubectl("get", name, "-o", "wide").splitlines())
    cells = dict(zip(heads, row, strict=False))
    assert (cells["NODE"], cells["STATUS"], cells["EXIT"], cells["REASON"]) == ("real-1", "error", "3", "NonZeroExit")
    kubectl("delete", name)


def line_of(process: subprocess.Popen[str]) -> list[str]:
    """The next line of what it prints, in words."""
    assert process.stdout is not None
    return process.stdout.readline().split()


def test_a_watch_follows_and_ends_with_the_server(kubectl: Kubectl, server: Server) -> None:
    """G-1, E-4: every change is a row under the same heads; when the server restarts, the watch ends, and one that
    goes on from the revision it had misses nothing.
    """
    create(kubectl, node("watch-1", provider="a"))
    watching = kubectl.start("get", "nodes", "-w", "--field-selector", "metadata.name=watch-1")
    try:
        assert line_of(watching)[:3] == ["NAME", "STATUS", "PROVIDER"]
        assert line_of(watching)[2] == "a"
        kubectl("patch", "node", "watch-1", "--type", "merge", "-p", '{"spec": {"provider": "b"}}')
        while (row := line_of(watching))[2] != "b":
            assert row[:3] == ["watch-1", "active", "a"]
        seen = json.loads(kubectl("get", "--raw", NODES))["metadata"]["resourceVersion"]
        assert server.stop() == 0
        assert watching.wait(10) == 0
    finally:
        watching.kill()
        watching.wait()
    server.start()
    kubectl("delete", "node", "watch-1")
    url = f"{NODES}?watch=1&timeoutSeconds=1&resourceVersion={seen}&fieldSelector=metadata.name%3Dwatch-1"
    events = [json.loads(line) for line in kubectl("get", "--raw", url).splitlines()]
    assert events[-1]["type"] == "DELETED"


def test_a_wait_outlives_a_restart(kubectl: Kubectl, server: Server) -> None:
    """G-1: `kubectl wait` goes on with a server that comes back while it waits."""
    create(kubectl, node("patient-1"))
    waiting = kubectl.start("wait", "--for=jsonpath={.spec.provider}=lxc", "node/patient-1", "--timeout=30s")
    try:
        time.sleep(0.5)
        server.kill()
        server.start()
        kubectl("patch", "node", "patient-1", "--type", "merge", "-p", '{"spec": {"provider": "lxc"}}')
        out, err = waiting.communicate(timeout=40)
        assert (waiting.returncode, out) == (0, "node.vendetta.dev/patient-1 condition met\n"), err
    finally:
        waiting.kill()
        waiting.wait()


def test_it_learns_who_one_is_and_what_one_may(kubectl: Kubectl) -> None:
    """E-6: without authentication whoever is on this machine may do everything."""
    assert ["Username", "local"] in [line.split() for line in kubectl("auth", "whoami").splitlines()]
    assert kubectl.run("auth", "can-i", "delete", "nodes.vendetta.dev").stdout == "yes\n"
    assert kubectl.run("auth", "can-i", "*", "*").stdout == "yes\n"
    assert "nodes.vendetta.dev" in kubectl("auth", "can-i", "--list")
