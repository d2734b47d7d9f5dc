"""What the CLI does without a server, or before one (contract A-2, E-5, F-1, F-3)."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import yaml

from api.auth.tokens import verify
from tests.integration.cli.conftest import CLI
from tests.support.nodes import free_port

SECRET = "0123456789abcdef0123456789abcdef"
UID = "0a1b2c3d-1111-4222-8333-444455556666"


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "nodes"),
        ("describe", "node", "a"),
        ("delete", "node", "a"),
        ("apply", "-f", "n.yaml"),
        ("diff", "-f", "n.yaml"),
        ("cordon", "a"),
        ("node", "trust", "a", "--fingerprint", "SHA256:x"),
        ("logs", "x"),
        ("cancel", "x"),
        ("exec", "-l", "a=b", "--", "true"),
        ("exec", "a", "b", "--", "true"),
    ],
)
def test_a_server_that_is_down_is_one_sentence(offline: CLI, arguments: tuple[str, ...]) -> None:
    """F-3: the URL, what is wrong, what to try; exit code 3."""
    offline.write("n.yaml", "apiVersion: vendetta.dev/v1\nkind: Node\nmetadata: {name: a}\n")
    offline.environ["VENDETTA_SERVER"] = url = f"http://127.0.0.1:{free_port()}"
    done = offline(*arguments, expect=3)
    assert done.text == ""
    first = done.err.splitlines()[0]
    for part in (f"cannot connect to the server at {url}", "onnection refused", "coordination start", "--server"):
        assert part in first


def test_exec_on_one_node_has_255_for_that(offline: CLI) -> None:
    """F-4: 3 could be the command's own code."""
    offline.environ["VENDETTA_SERVER"] = f"http://127.0.0.1:{free_port()}"
    done = offline("exec", "a", "--", "true", expect=255)
    assert "cannot connect to the server" in done.err
    assert len(done.err.splitlines()) == 1


def test_status_has_2_for_that(offline: CLI) -> None:
    """F-1: for people and for programs."""
    offline.environ["VENDETTA_SERVER"] = f"http://127.0.0.1:{free_port()}"
    assert "cannot connect" in offline("coordination", "status", expect=2).err
    assert offline("coordination", "status", "-o", "json", expect=2).json["status"] == "unreachable"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("frobnicate",), "No such command 'frobnicate'"),
        (("get",), "Missing argument"),
        (("get", "pods"), "there is no kind 'pods': use nodes, commands or services"),
        (("describe", "pods"), "there is no kind 'pods': use nodes or commands"),
        (
            ("describe", "service", "web"),
            "services belong to their nodes, and can only be shown: vendetta get services",
        ),
        (("get", "node", "a", "-l", "b=c"), "names or a selector"),
        (("get", "nodes", "-o", "xml"), "xml"),
        (("get", "nodes", "--bogus"), "--bogus"),
        (("--server", "nonsense", "get", "nodes"), "is not a server's URL"),
        (("get", "nodes", "--server", "nonsense"), "is not a server's URL"),
        (("exec", "a"), "after `--`, or a line with --shell"),
        (("exec", "a", "--"), "after `--`, or a line with --shell"),
        (("exec", "a", "--shell", "x", "--", "y"), "not both"),
        (("exec", "--", "ls"), "name nodes"),
        (("exec", "a", "-l", "b=c", "--", "ls"), "name nodes"),
        (("exec", "a", "--timeout", "5", "--", "ls"), "--timeout: '5' is not a duration"),
        (("exec", "a", "--env", "SURELY_NOT_SET_HERE", "--", "ls"), "there is no such variable"),
        (("exec", "a", "--env", "A-B=1", "--", "ls"), "--env A-B: that is no name for a variable"),
        (("exec", "a", "--env", "VENDETTA_X=1", "--", "ls"), "the server's own"),
        (("exec", "a", "--", ""), "it is empty"),
        (("exec", "a", "ls", "-l"), "goes after `--`: vendetta exec NODE -- ARGV…. Try `vendetta exec --help`."),
        (("exec", "a", "uname", "-a"), "goes after `--`: vendetta exec NODE -- ARGV…. Try `vendetta exec --help`."),
        (("exec", "command/a", "--", "ls"), "'command/a' is not a node"),
        (("logs", "node/a"), "'node/a' is not a command"),
        (("apply", "-f"), "Try `vendetta apply --help`."),
        (("--server", "http://x", "token", "create", "--node"), "Try `vendetta token create --help`."),
        (("token", "create", "--role", "node"), "`vendetta get node NAME -o json` shows it as metadata.uid"),
        (
            ("token", "create", "--role", "node", "--node", "b-1"),
            "'b-1' is not a uid; `vendetta get node b-1 -o json`",
        ),
        (("token", "create", "--role", "root"), "Invalid value for '--role': 'root' is not one of"),
        (("logs", "a", "--offset", "x"), "'--offset': it must be a valid integer\n"),
        (("apply", "-f", "missing.yaml"), "cannot read missing.yaml: No such file or directory"),
        (("delete",), "KIND NAME"),
        (("delete", "nodes"), "name the nodes"),
        (("token", "create", "--role", "king"), "king"),
        (("node", "trust", "a"), "say what to trust"),
        (("node", "join-token", "--label", "env"), "write KEY=VALUE"),
        (("--context", "x", "get", "nodes"), "does not exist"),
        (("--token-file", "missing", "get", "nodes"), "cannot read the token file"),
    ],
)
def test_a_usage_error_is_2_and_one_sentence(offline: CLI, arguments: tuple[str, ...], sentence: str) -> None:
    """F-3: whatever is wrong with the command line."""
    done = offline(*arguments, expect=2)
    assert done.text == ""
    assert sentence in done.err
    assert len(done.err.splitlines()) <= 2


VERBS = ["get", "describe", "delete", "apply", "diff", "exec", "logs", "cancel", "cordon", "uncordon", "version"]
NESTED = [
    "node trust",
    "node join-token",
    "node revoke",
    "token create",
    "coordination config",
    "coordination start",
    "coordination status",
]


@pytest.mark.parametrize("verb", [*VERBS, *NESTED])
def test_every_verb_explains_itself_with_examples(offline: CLI, verb: str) -> None:
    """F-2: --help."""
    text = offline(*verb.split(), "--help").text
    assert "Usage: vendetta " in text
    assert "Example" in text
    assert "vendetta " + verb in " ".join(text.split("Example")[1].split())
    assert not any(ugly in text for ugly in ("<str>", "<bool>", "<list", "<text|", "For people"))


def test_config_is_printed_or_written_once(offline: CLI) -> None:
    """A-2: stdout; -o FILE with mode 0600, never over a file without --force."""
    printed = offline("coordination", "config").text
    assert printed.startswith("# Configuration of the Vendetta coordination server")
    done = offline("coordination", "config", "-o", "c.yaml")
    assert "are random" in done.err
    path = offline.folder / "c.yaml"
    first = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    done = offline("coordination", "config", "-o", "c.yaml", expect=1)
    assert "--force overwrites it" in done.err
    assert path.read_text() == first
    path.chmod(0o644)
    offline("coordination", "config", "-o", "c.yaml", "--force")
    assert path.read_text() != first
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(offline.folder) == ["c.yaml"]
    assert "No such file" in offline("coordination", "config", "-o", "no/where", expect=1).err


def test_start_tells_every_problem_of_the_configuration(offline: CLI) -> None:
    """A-1, A-9, F-3: a line each, and exit code 1."""
    offline.write("c.yaml", "server: {prot: 1}\nauth: {enabled: true}\n")
    done = offline("coordination", "start", "--config", "c.yaml", "--port", "70000", "--log-level", "loud", expect=1)
    for part in ("c.yaml:1: unknown key 'server.prot'", "auth.jwt_secret is the published", "--port:", "--level:"):
        assert part in done.err
    assert all(line.startswith("vendetta: ") for line in done.err.splitlines())


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
def test_start_tells_an_address_that_is_not_here(offline: CLI, host: str) -> None:
    """F-3: from a port that is taken it differs in what has to be done."""
    offline.write("c.yaml", f"server: {{host: {host}, port: 0}}\n")
    done = offline("coordination", "start", "--config", "c.yaml", expect=1)
    assert done.err.startswith(f"vendetta: cannot listen on {host}:0: ")
    assert done.err.endswith("; server.host must be an address of this machine\n")


def test_tokens_are_made_offline(offline: CLI) -> None:
    """E-5: with the configuration's secret, for the role, until the expiry."""
    offline.write("coordination.yaml", f"auth: {{enabled: true, jwt_secret: {SECRET}}}\nserver: {{auth_token: ''}}\n")
    token = offline("token", "create", "--role", "operator", "--sub", "ci", "--expiry", "90m").text.strip()
    now = datetime.now(UTC)
    principal = verify(token, SECRET, now)
    assert (principal.name, principal.role.value) == ("ci", "operator")
    assert principal.expires is not None
    assert abs(principal.expires - now.timestamp() - 5400) < 60
    answer = offline("token", "create", "--role", "node", "--node", UID, "-o", "json").json
    assert verify(answer["token"], SECRET, now).node_uid == UID
    assert answer["expires_in"] == "24h0m0s"
    assert "role node" in offline("token", "create", "--role", "admin", "--node", UID, expect=2).err


def test_the_published_secret_signs_nothing(offline: CLI) -> None:
    """A-9, E-5: such a token would not count anywhere."""
    assert "published default" in offline("token", "create", "--role", "admin", expect=1).err


def test_a_token_for_a_server_without_auth_is_warned_about(offline: CLI) -> None:
    """E-5, E-6: it would not be looked at."""
    offline.environ["VENDETTA_JWT_SECRET"] = SECRET
    done = offline("token", "create", "--role", "admin")
    assert done.text.count(".") == 2
    assert "auth.enabled is false" in done.err


def test_version(offline: CLI) -> None:
    """F-3: for people and for programs."""
    assert offline("version").text.startswith("vendetta ")
    assert offline("version", "-o", "json").json["version"]
    assert offline("--version").text == offline("version").text


def test_a_wrong_configuration_has_one_exit_code(offline: CLI) -> None:
    """F-3: 1, whoever reads it."""
    offline.write("c.yaml", "server: {prot: 1}\n")
    for verb in (("coordination", "start"), ("token", "create", "--role", "admin")):
        assert "unknown key 'server.prot'" in offline(*verb, "--config", "c.yaml", expect=1).err


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """An HTTP server that is none of ours: `127.0.0.1:PORT`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        thread = Thread(target=other.serve_forever)
        thread.start()
        yield f"127.0.0.1:{other.server_port}"
        other.shutdown()
        thread.join()


def test_https_to_a_port_that_speaks_http(offline: CLI, elsewhere: str) -> None:
    """F-3: what is wrong, and what it may have been; not the system's words for another error."""
    for verb, code in ((("get", "nodes"), 3), (("exec", "a", "--", "true"), 255)):
        done = offline("--server", f"https://{elsewhere}", *verb, expect=code)
        assert f"it does not speak TLS there; perhaps it is http://{elsewhere}\n" in done.err


def test_a_path_where_nothing_is_is_named(vendetta: CLI) -> None:
    """F-3: the URL that was asked for; and it does not count as an object that is gone."""
    url = f"{vendetta.environ['VENDETTA_SERVER']}/wrong"
    for verb in (("get", "nodes"), ("delete", "node", "a", "--ignore-not-found")):
        done = vendetta("--server", url, *verb, expect=1)
        assert f"there is nothing at {url}/apis/vendetta.dev/v1/nodes" in done.err


def test_a_kubeconfig_names_the_server_and_holds_the_token(offline: CLI) -> None:
    """F-4: of the same server and token that every verb uses; a warning where kubectl would not send it."""
    offline.environ["VENDETTA_SERVER"] = "https://vendetta.example"
    offline.environ["VENDETTA_TOKEN"] = "abc"
    authority = offline.write("ca.pem", "x")
    done = offline("kubeconfig", "--name", "lab", "--certificate-authority", "ca.pem")
    config = yaml.safe_load(done.text)
    assert done.err == ""
    assert config["clusters"] == [
        {"name": "lab", "cluster": {"server": "https://vendetta.example", "certificate-authority": str(authority)}}
    ]
    assert config["users"] == [{"name": "lab", "user": {"token": "abc"}}]
    assert config["contexts"] == [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}]
    assert config["current-context"] == "lab"
    offline.environ["VENDETTA_SERVER"] = "http://127.0.0.1:3001"
    assert "kubectl sends a token over https only" in offline("kubeconfig").err
    del offline.environ["VENDETTA_TOKEN"]
    plain = offline("kubeconfig")
    assert (plain.err, yaml.safe_load(plain.text)["users"][0]["user"]) == ("", {})
    offline("kubeconfig", "--certificate-authority", "missing.pem", expect=2)
