"""apply, diff, get, describe, delete, cordon against a real server (contract F-2)."""

import json
import signal
import subprocess
from typing import Any

from tests.integration.cli.conftest import CLI
from tests.support.server import Server

NODES = """\
apiVersion: vendetta.dev/v1
kind: Node
metadata: {name: build-01, labels: {env: dev, tier: a}}
spec:
  displayName: Build box
  address: 127.0.0.1
  port: 1
  transport: {type: ssh, user: deploy, connectTimeout: 60s}
  capabilities: {docker: true}
---
apiVersion: vendetta.dev/v1
kind: Node
metadata: {name: build-02}
spec: {address: 127.0.0.1, port: 2, transport: {type: ssh}}
"""


def spec_of(vendetta: CLI, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = vendetta("get", "node", name, "-o", "json").json["spec"]
    return spec


def test_apply_says_created_unchanged_and_configured(vendetta: CLI) -> None:
    """F-2: and a second apply of the same file changes nothing."""
    vendetta.write("n.yaml", NODES)
    assert vendetta("apply", "-f", "n.yaml").text == "node/build-01 created\nnode/build-02 created\n"
    before = vendetta("get", "nodes", "-o", "json").json["items"]
    assert vendetta("apply", "-f", "n.yaml").text == "node/build-01 unchanged\nnode/build-02 unchanged\n"
    vendetta.write("n.yaml", NODES.replace("Build box", "Other box"))
    assert vendetta("apply", "-f", "n.yaml").text == "node/build-01 configured\nnode/build-02 unchanged\n"
    after = vendetta("get", "nodes", "-o", "json").json["items"]
    assert [n["metadata"]["generation"] for n in after] == [before[0]["metadata"]["generation"] + 1, 1]
    assert after[0]["spec"]["displayName"] == "Other box"


def test_what_left_the_file_is_removed_and_what_others_set_stays(vendetta: CLI, server: Server) -> None:
    """F-2: the three-way merge, against fields set through the document's API and by cordon."""
    vendetta.write("n.yaml", NODES)
    vendetta("apply", "-f", "n.yaml")
    assert vendetta("cordon", "node/build-01").text == "node/build-01 cordoned\n"
    labels = {"env": "dev", "tier": "a", "owner": "ops"}
    assert server.http.put("/api/v1/nodes/build-01", json={"labels": labels, "provider": "lxc"}).is_success
    vendetta.write("n.yaml", NODES.replace(", tier: a", "").replace("  displayName: Build box\n", ""))
    vendetta("apply", "-f", "n.yaml")
    node = vendetta("get", "node", "build-01", "-o", "json").json
    assert node["metadata"]["labels"] == {"env": "dev", "owner": "ops"}
    assert node["spec"].get("displayName", "") == ""
    assert (node["spec"]["provider"], node["spec"]["unschedulable"]) == ("lxc", True)
    assert vendetta("uncordon", "build-01").text == "node/build-01 uncordoned\n"
    assert spec_of(vendetta, "build-01")["unschedulable"] is False


def test_an_object_made_otherwise_can_be_applied_over(vendetta: CLI, server: Server) -> None:
    """F-2: without a note of what was applied last, nothing is removed."""
    body = {"id": "build-02", "address": "10.0.0.1", "port": 9, "name": "kept"}
    assert server.http.post("/api/v1/nodes", json=body).status_code == 200
    vendetta.write("n.yaml", NODES)
    assert "node/build-02 configured" in vendetta("apply", "-f", "n.yaml").text
    spec = spec_of(vendetta, "build-02")
    assert (spec["address"], spec["port"], spec["displayName"]) == ("127.0.0.1", 2, "kept")


def test_dry_runs_change_nothing(vendetta: CLI) -> None:
    """F-2: --dry-run=client and --dry-run=server."""
    vendetta.write("n.yaml", NODES)
    for where in ("client", "server"):
        text = vendetta("apply", "-f", "n.yaml", f"--dry-run={where}").text
        assert text == f"node/build-01 created ({where} dry run)\nnode/build-02 created ({where} dry run)\n"
    assert vendetta("get", "nodes", "-o", "name").text == ""


def test_diff_tells_by_its_exit_code(vendetta: CLI) -> None:
    """F-2: 1 when something would change, 0 when not."""
    vendetta.write("n.yaml", NODES)
    assert "+  name: build-01" in vendetta("diff", "-f", "n.yaml", expect=1).text
    vendetta("apply", "-f", "n.yaml")
    assert vendetta("diff", "-f", "n.yaml").text == ""
    vendetta.write("n.yaml", NODES.replace("port: 2", "port: 3"))
    text = vendetta("diff", "-f", "n.yaml", expect=1).text
    assert "-  port: 2\n" in text
    assert "+  port: 3\n" in text
    assert "build-01" not in text


def test_a_typo_stops_everything_before_anything_is_sent(vendetta: CLI) -> None:
    """F-2, F-3: file, line, key, the nearest one; exit code 2."""
    vendetta.write("n.yaml", NODES.replace("spec: {address", "spec: {adress"))
    done = vendetta("apply", "-f", "n.yaml", expect=2)
    assert done.err == "vendetta: n.yaml:14: unknown key 'spec.adress': did you mean 'address'?\n"
    assert vendetta("get", "nodes", "-o", "name").text == ""


def test_stdin_folders_and_what_get_printed(vendetta: CLI) -> None:
    """F-2: a round trip through `get -o yaml`."""
    vendetta.write("fleet/deep/n.yml", NODES)
    vendetta("apply", "-f", "fleet")
    printed = vendetta("get", "nodes", "-o", "yaml").out
    vendetta("apply", "-f", "-", stdin=printed)  # from now on the defaults too are what was applied
    assert vendetta("diff", "-f", "-", stdin=printed).text == ""
    assert vendetta("apply", "-f", "-", stdin=printed).text == "node/build-01 unchanged\nnode/build-02 unchanged\n"
    assert vendetta("delete", "-f", "fleet").text == "node/build-01 deleted\nnode/build-02 deleted\n"
    assert "created" in vendetta("apply", "-f", "-", stdin=printed).text


def test_delete_by_name(vendetta: CLI) -> None:
    """F-2, F-3: what is not there fails, unless that is fine."""
    vendetta.write("n.yaml", NODES)
    vendetta("apply", "-f", "n.yaml")
    done = vendetta("delete", "node", "nope", "build-02", expect=1)
    assert done.text == "node/build-02 deleted\n"
    assert '"nope" not found' in done.err
    assert vendetta("delete", "node/nope", "--ignore-not-found").text == ""
    assert vendetta("delete", "node/build-01", "-o", "json").json == {"deleted": ["node/build-01"]}


def test_get_selects_and_describes(vendetta: CLI) -> None:
    """F-2: names, selectors, formats."""
    vendetta.write("n.yaml", NODES)
    vendetta("apply", "-f", "n.yaml")
    assert vendetta("get", "nodes", "-l", "env=dev", "-o", "name").text == "node/build-01\n"
    assert vendetta("get", "no", "build-02", "build-01", "-o", "name").text == "node/build-02\nnode/build-01\n"
    table = vendetta("get", "nodes").text.splitlines()
    assert table[0].split() == ["NAME", "STATUS", "READY", "PROVIDER", "ADDRESS", "AGE"]
    assert table[1].split()[0] == "build-01"
    assert table[1].split()[1] in {"active", "unreachable"}  # nothing listens there, and that may be known by now
    assert "connectTimeout: 1m0s" in vendetta("describe", "node", "build-01").text
    assert vendetta("get", "node", "nope", expect=1).err == 'vendetta: nodes.vendetta.dev "nope" not found\n'
    assert "selector 'a in b'" in vendetta("get", "nodes", "-l", "a in b", expect=1).err
    by_field = ("get", "nodes", "-o", "name", "--field-selector")
    assert vendetta(*by_field, "metadata.name!=build-01").text == "node/build-02\n"
    assert "field label not supported: spec.port" in vendetta(*by_field, "spec.port=1", expect=1).err


def test_a_list_is_whole_however_many_pages_it_takes(vendetta: CLI, server: Server) -> None:
    """F-2: more nodes than a page holds."""
    for number in range(1030):
        body = {"id": f"n-{number:04d}", "address": "127.0.0.1", "port": 1}
        assert server.http.post("/api/v1/nodes", json=body).status_code == 200
    names = vendetta("get", "nodes", "-o", "name").text.split()
    assert names == [f"node/n-{number:04d}" for number in range(1030)]


def test_watch_shows_every_change_until_it_is_interrupted(vendetta: CLI, server: Server) -> None:
    """F-2: get -w."""
    watching = vendetta.start("get", "nodes", "-w", "-o", "json")
    try:
        assert watching.stdout is not None
        vendetta.write("n.yaml", NODES)
        vendetta("apply", "-f", "n.yaml")
        seen = ""
        while seen != "build-02":
            seen = json.loads(watching.stdout.readline())["metadata"]["name"]
        vendetta("cordon", "build-01")
        while True:
            node = json.loads(watching.stdout.readline())
            if node["spec"].get("unschedulable"):
                break
        assert node["metadata"]["name"] == "build-01"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 130
        assert watching.stderr is not None
        assert watching.stderr.read() == b""
    finally:
        watching.kill()
        watching.communicate()


def test_output_into_a_closed_pipe_is_quiet(vendetta: CLI) -> None:
    """F-3: `vendetta get … | head -1`."""
    vendetta.write("n.yaml", NODES)
    vendetta("apply", "-f", "n.yaml")
    line = " ".join(vendetta.command("get", "nodes", "-o", "yaml"))
    shell = ["sh", "-c", f"{line} | true"]
    done = subprocess.run(
        shell, env=vendetta.environment(), cwd=vendetta.folder, capture_output=True, timeout=60, check=False
    )
    assert done.stderr == b""
