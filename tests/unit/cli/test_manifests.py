"""Manifests are checked before anything is sent (contract F-2)."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from api.cli.errors import Misused
from api.cli.manifests import read
from controller.strictyaml import write_document

NODE: dict[str, Any] = {
    "apiVersion": "vendetta.dev/v1",
    "kind": "Node",
    "metadata": {"name": "build-01", "labels": {"env": "dev"}},
    "spec": {
        "address": "10.0.0.5",
        "port": 22,
        "transport": {"type": "ssh", "user": "deploy", "connectTimeout": "60s"},
        "capabilities": {"docker": True},
        "services": [{"id": "web", "check": {"http": {"path": "/healthz"}, "interval": "10s"}}],
    },
}
COMMAND: dict[str, Any] = {
    "apiVersion": "vendetta.dev/v1",
    "kind": "Command",
    "metadata": {"name": "once"},
    "spec": {"node": "build-01", "action": "true", "params": {"env": {"A": "b", "C": {"credentialRef": "x"}}}},
}


def problem_of(path: Path) -> str:
    with pytest.raises(Misused) as caught:
        read([str(path)])
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_values_come_in_their_usual_form(tmp_path: Path) -> None:
    """F-2: only what was written, `60s` as `1m0s`, and null as not written."""
    file = tmp_path / "n.yaml"
    file.write_text(write_document(NODE | {"spec": {**NODE["spec"], "provider": None}}))
    (manifest,) = read([str(file)])
    expected = json.loads(json.dumps(NODE).replace('"60s"', '"1m0s"'))
    assert manifest.data == expected
    assert (manifest.title, manifest.origin) == ("node/build-01", f"{file}:1")


def test_several_documents_lists_folders_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-2: -f FILE | DIR | -, folders recursively and in order, JSON and YAML."""
    named = [{**NODE, "metadata": {"name": name}} for name in ("a", "b", "c", "d", "e")]
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "1.yaml").write_text(write_document(named[0]) + "---\n" + write_document(named[1]) + "---\n")
    (tmp_path / "2.json").write_text(json.dumps(named[2], indent="\t"))
    (tmp_path / "deep/er/3.yml").write_text(write_document({"apiVersion": "v1", "kind": "List", "items": named[3:4]}))
    (tmp_path / "notes.txt").write_text("not a manifest")
    stdin = io.TextIOWrapper(io.BytesIO(write_document(named[4]).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    manifests = read([str(tmp_path), "-"])
    assert [m.name for m in manifests] == ["a", "b", "c", "d", "e"]
    assert manifests[1].origin == f"{tmp_path / '1.yaml'}:{len(write_document(named[0]).splitlines()) + 2}"


def test_what_get_prints_can_be_applied(tmp_path: Path) -> None:
    """F-2: the status and the server's own metadata do not count."""
    served = {
        **NODE,
        "metadata": {**NODE["metadata"], "uid": "u", "resourceVersion": "7", "generation": 2},
        "status": {"phase": "active", "newerThanThisProgram": 1},
    }
    (tmp_path / "n.yaml").write_text(write_document(served))
    (manifest,) = read([str(tmp_path / "n.yaml")])
    assert manifest.data["metadata"] == NODE["metadata"]
    assert "status" not in manifest.data


@pytest.mark.parametrize(
    ("wrong", "right", "problem"),
    [
        ("transport:", "transprot:", ":10: unknown key 'spec.transprot': did you mean 'transport'?"),
        ("user:", "usr:", ":12: unknown key 'spec.transport.usr': did you mean 'user'?"),
        ("path:", "pth:", ":20: unknown key 'spec.services.0.check.http.pth': did you mean 'path'?"),
        ("labels:", "lables:", ":5: unknown key 'metadata.lables': did you mean 'labels'?"),
        ("address:", "displayname:", ":8: unknown key 'spec.displayname': did you mean 'displayName'?"),
        ("address:", "hostKeys:", ":8: unknown key 'spec.hostKeys': did you mean 'spec.transport.hostKeys'?"),
        ("port: 22", "port: '22'", ":9: spec.port: must be a valid integer"),
        ("port: 22", "port: 70000", ":9: spec.port: must be less than or equal to 65535"),
        ("1m0s", "1d", "'1d' is not a duration"),
        ("env: dev", "env: a b", "not a valid label value"),
        ("kind: Node", "kind: Nod", ":2: unknown kind 'Nod': did you mean 'Node'?"),
        ("kind: Node", "kind: [Node]", ":2: unknown kind ['Node']: "),
        ("kind: Node", "kid: Node", ":1: kind is missing: there is Node and Command"),
        ("vendetta.dev/v1", "vendetta.dev/v2", ":1: apiVersion must be 'vendetta.dev/v1', not 'vendetta.dev/v2'"),
        ("name: build-01", "name: ''", ":3: metadata.name is missing"),
        ("name: build-01", "name: build/01", "'build/01' is not a Node's name"),
        ("type: ssh", "user: x", "the key 'user' is here twice"),
        ("id: web", "name: web", "spec.services.0.id is missing"),
        ("docker: true", "docker: [1]", ": must be a boolean or an integer or a number or a string"),
        (
            "user: deploy",
            "password: x",
            "'spec.transport.password': a secret does not belong in a manifest: name a file",
        ),
        ("user: deploy", "privateKey: x", "'spec.transport.privateKey': a secret does not belong in a manifest"),
        ("address: 10.0.0.5", "token: x", "'spec.token': a secret does not belong in a manifest"),
    ],
)
def test_a_mistake_names_file_line_and_the_nearest_key(tmp_path: Path, wrong: str, right: str, problem: str) -> None:
    """F-2: the line counts from the file's beginning, the key is the manifest's own."""
    text = write_document(NODE).replace("60s", "1m0s")
    assert wrong in text
    (tmp_path / "n.yaml").write_text(text.replace(wrong, right, 1))
    message = problem_of(tmp_path / "n.yaml")
    assert message.startswith(f"{tmp_path / 'n.yaml'}:")
    assert problem in message
    assert "\n" not in message, "one mistake is one line"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("5", ":10: spec.params.env.A: must be a string or an object"),
        ("{credentialRf: x}", ":10: spec.params.env.A.credentialRef is missing"),
        ("{}", ":10: spec.params.env.A.credentialRef is missing"),
    ],
)
def test_a_value_of_several_types_is_one_mistake(tmp_path: Path, value: str, problem: str) -> None:
    """F-2: what it may be, not each way in which it is not that."""
    (tmp_path / "c.yaml").write_text(write_document(COMMAND).replace("A: b", f"A: {value}"))
    message = problem_of(tmp_path / "c.yaml")
    assert problem in message
    assert "valid string" not in message


def test_only_a_close_name_is_suggested(tmp_path: Path) -> None:
    """F-2: a suggestion that has nothing to do with it only puzzles."""
    (tmp_path / "n.yaml").write_text(write_document(NODE).replace("  port: 22", "  zzz: 22"))
    assert problem_of(tmp_path / "n.yaml").endswith("unknown key 'spec.zzz'")


def test_a_file_without_an_end_is_refused() -> None:
    """F-2: a device, named or linked to."""
    with pytest.raises(Misused, match=r"/dev/zero.*larger than"):
        read(["/dev/zero"])


def test_hidden_files_are_nobodys_manifests(tmp_path: Path) -> None:
    """F-2: an editor's copies and `.git` lie in folders too; a hidden file that is named counts."""
    for name in ("n.yaml", ".n.yaml", ".git/n.yaml", "deep/.hidden/n.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(write_document(NODE))
    assert [m.origin for m in read([str(tmp_path)])] == [f"{tmp_path}/n.yaml:1"]
    assert len(read([str(tmp_path / ".git")])) == 1


def test_all_mistakes_in_all_files_are_told(tmp_path: Path) -> None:
    """F-2: nothing is sent unless everything is right."""
    (tmp_path / "a.yaml").write_text(write_document(NODE).replace("  port:", "  prt:"))
    (tmp_path / "b.yaml").write_text("a: [")
    (tmp_path / "c.yaml").write_text(write_document(COMMAND).replace("node:", "nod:"))
    lines = problem_of(tmp_path).splitlines()
    assert [line.split(":")[0].removeprefix(str(tmp_path)) for line in lines] == [
        "/a.yaml",
        "/b.yaml",
        "/c.yaml",
        "/c.yaml",
    ]
    assert "spec.node is missing" in "\n".join(lines)


def test_the_same_object_twice_is_a_mistake(tmp_path: Path) -> None:
    """F-2: which of the two would count?"""
    (tmp_path / "a.yaml").write_text(write_document(NODE))
    (tmp_path / "b.yaml").write_text(write_document(NODE))
    assert problem_of(tmp_path) == f"{tmp_path}/b.yaml:1: node/build-01 is here twice, first at {tmp_path}/a.yaml:1"


def test_commands_are_manifests_too(tmp_path: Path) -> None:
    """F-2, E-8: with references to secrets."""
    (tmp_path / "c.yaml").write_text(write_document(COMMAND))
    (manifest,) = read([str(tmp_path / "c.yaml")])
    assert manifest.data == COMMAND


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n"])
def test_no_manifest_at_all_is_a_usage_error(tmp_path: Path, text: str) -> None:
    """F-3: most likely it is the wrong file."""
    (tmp_path / "n.yaml").write_text(text)
    assert "there is no manifest" in problem_of(tmp_path / "n.yaml")
    assert "cannot read" in problem_of(tmp_path / "missing.yaml")
