"""The environment as a source (contract A-11), and the secrets that a start demands (A-9)."""

from pathlib import Path

import pytest

from controller.config import ConfigError, load
from controller.config.keys import KEYS, is_secret
from controller.config.sources import variable_of
from controller.duration import SECOND
from controller.settings import PUBLISHED_JWT_SECRET, Settings

LONG = "0123456789abcdef0123456789abcdef"


def settings_of(cwd: Path, **environ: str) -> Settings:
    return load(environ=environ, cwd=cwd).settings


def problem_of(cwd: Path, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ=environ, cwd=cwd)
    return str(caught.value)


def test_the_documented_variables(tmp_path: Path) -> None:
    """A-11: the three names of the document."""
    settings = settings_of(
        tmp_path, VENDETTA_COORD_HOST="127.0.0.1", VENDETTA_COORD_PORT="8080", VENDETTA_JWT_SECRET=LONG
    )
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.auth.jwt_secret.get_secret_value() == LONG


def test_empty_documented_variables_count_as_not_set(tmp_path: Path) -> None:
    """A-11: `VENDETTA_COORD_PORT=` from a template that had nothing to put there."""
    settings = settings_of(tmp_path, VENDETTA_COORD_HOST="", VENDETTA_COORD_PORT="", VENDETTA_JWT_SECRET="")
    assert settings.server == Settings().server
    assert settings.auth == Settings().auth


def test_every_kind_of_key_has_a_variable(tmp_path: Path) -> None:
    """A-11: text, number, boolean, duration, list and nested keys."""
    settings = settings_of(
        tmp_path,
        VENDETTA_TRANSPORTS__SSH__DEFAULT_USER="deploy",
        VENDETTA_REGISTRY__MAX_RETRIES="7",
        VENDETTA_CONTROLLER__FREEZE_THRESHOLD="0.75",
        VENDETTA_WEBSOCKET__ENABLED="false",
        VENDETTA_WEBSOCKET__ORIGINS="https://a.example, https://b.example",
        VENDETTA_TRANSPORTS__DENY_CIDRS='["10.0.0.0/8"]',
        VENDETTA_REGISTRY__NODE_TIMEOUT="1m30s",
        VENDETTA_TRANSPORTS__CREDENTIALS_DIR="/keys",
        VENDETTA_SERVER__AUTH_TOKEN="",
    )
    assert settings.transports.ssh.default_user == "deploy"
    assert settings.registry.max_retries == 7
    assert settings.controller.freeze_threshold == 0.75
    assert settings.websocket.enabled is False
    assert settings.websocket.origins == ("https://a.example", "https://b.example")
    assert settings.transports.deny_cidrs == ("10.0.0.0/8",)
    assert settings.registry.node_timeout == 90 * SECOND
    assert settings.transports.credentials_dir == Path("/keys")
    assert settings.server.auth_token.get_secret_value() == ""


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("VENDETTA_SERVER__PROT", "1", "unknown setting: did you mean VENDETTA_SERVER__PORT?"),
        ("VENDETTA_server__port", "1", "unknown setting: did you mean VENDETTA_SERVER__PORT?"),
        ("VENDETTA_TRANSPORTS__SHH__BASE_DIR", "x", "did you mean VENDETTA_TRANSPORTS__SSH__BASE_DIR?"),
        ("VENDETTA_SERVER__HOST_FILE", "x", "unknown setting"),
        ("VENDETTA_COORD_PORT", "junk", "must be a whole number, got 'junk'"),
        ("VENDETTA_COORD_PORT", "http://10.0.0.1:3001", "must be a whole number"),
        ("VENDETTA_COORD_PORT", "99999", "server.port must be less than or equal to 65535, got 99999"),
        ("VENDETTA_WEBSOCKET__ENABLED", "yes", "must be true or false, got 'yes'"),
        ("VENDETTA_CONTROLLER__FREEZE_THRESHOLD", "half", "must be a number, got 'half'"),
        ("VENDETTA_WEBSOCKET__ORIGINS", "[a", "must be a list"),
        ("VENDETTA_REGISTRY__NODE_TIMEOUT", "60", "registry.node_timeout is wrong: '60' is not a duration"),
        ("VENDETTA_COORD_HOST", "\udcff", "must be UTF-8"),
    ],
)
def test_junk_fails_the_start_and_names_the_variable(tmp_path: Path, name: str, value: str, problem: str) -> None:
    """A-1, A-11: unknown settings name the nearest variable; wrong values name variable and value."""
    message = problem_of(tmp_path, **{name: value})
    assert message.startswith(f"{name}: ")
    assert problem in message
    assert "\n" not in message


def test_other_variables_are_left_alone(tmp_path: Path) -> None:
    """A-11: what belongs to the client, and what Kubernetes injects for Services of ours."""
    environ = {
        "VENDETTA_SERVER": "http://x",
        "VENDETTA_TOKEN": "x",
        "VENDETTA_COORD_SERVICE_HOST": "10.0.0.1",
        "VENDETTA_COORD_PORT_3001_TCP_ADDR": "10.0.0.1",
        "SERVER__PORT": "x",
    }
    assert load(environ=environ, cwd=tmp_path).warnings == ()


def test_the_port_that_kubernetes_injects_is_ignored_with_a_warning(tmp_path: Path) -> None:
    """A-11: `tcp://…`, also beside the key's other variable."""
    environ = {"VENDETTA_COORD_PORT": "tcp://10.0.0.1:3001", "VENDETTA_SERVER__PORT": "4000"}
    result = load(environ=environ, cwd=tmp_path)
    assert result.settings.server.port == 4000
    (warning,) = result.warnings
    assert "VENDETTA_COORD_PORT=tcp://10.0.0.1:3001 is ignored" in warning


def test_two_variables_for_one_key_are_an_error(tmp_path: Path) -> None:
    """A-11: nobody has to guess which one won."""
    message = problem_of(tmp_path, VENDETTA_COORD_PORT="1", VENDETTA_SERVER__PORT="2")
    assert message == "VENDETTA_SERVER__PORT: server.port is given by VENDETTA_COORD_PORT too: give one of them"


SECRET_VARIABLES = ["VENDETTA_JWT_SECRET", *(variable_of(key) for key in KEYS if is_secret(key))]


@pytest.mark.parametrize("name", SECRET_VARIABLES)
def test_every_secret_can_come_from_a_file(tmp_path: Path, name: str) -> None:
    """A-11, E-8: `…_FILE`, without the one newline that editors put at the end; both forms are an error."""
    (tmp_path / "secret").write_text(LONG + "\n")
    settings = settings_of(tmp_path, **{f"{name}_FILE": "secret"})
    found = {
        settings.auth.jwt_secret.get_secret_value(),
        settings.server.auth_token.get_secret_value(),
        settings.registry.dsn,
    }
    assert LONG in found
    assert "too: give one of them" in problem_of(tmp_path, **{f"{name}_FILE": "secret", name: LONG})


def test_the_secrets_are_the_three_there_are() -> None:
    """A-11: tokens, signing key, and a DSN, which may hold a password."""
    assert {key for key in KEYS if is_secret(key)} == {
        ("server", "auth_token"),
        ("auth", "jwt_secret"),
        ("registry", "dsn"),
    }


def test_a_secret_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A-11: names the variable, the file and the reason."""
    message = problem_of(tmp_path, VENDETTA_JWT_SECRET_FILE="nowhere")
    assert message == f"VENDETTA_JWT_SECRET_FILE: cannot read {tmp_path}/nowhere: No such file or directory"
    (tmp_path / "bytes").write_bytes(b"\xff")
    assert "not UTF-8" in problem_of(tmp_path, VENDETTA_JWT_SECRET_FILE="bytes")


AUTH = {"VENDETTA_AUTH__ENABLED": "true", "VENDETTA_SERVER__AUTH_TOKEN": "", "VENDETTA_JWT_SECRET": LONG}


def test_good_secrets_start_without_a_word(tmp_path: Path) -> None:
    """A-9: 32 bytes; an empty static token means none."""
    assert load(environ=AUTH, cwd=tmp_path).warnings == ()


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"VENDETTA_JWT_SECRET": ""}, "auth.jwt_secret is the published default"),
        ({"VENDETTA_JWT_SECRET": PUBLISHED_JWT_SECRET}, "auth.jwt_secret is the published default"),
        ({"VENDETTA_SERVER__AUTH_TOKEN": PUBLISHED_JWT_SECRET}, "server.auth_token is the published default"),
        ({"VENDETTA_JWT_SECRET": "x" * 15}, "auth.jwt_secret is shorter than 16 characters"),
        ({"VENDETTA_SERVER__AUTH_TOKEN": "x" * 15}, "server.auth_token is shorter than 16 characters"),
        ({"VENDETTA_SERVER__AUTH_TOKEN": LONG}, "are the same"),
    ],
)
def test_bad_secrets_are_refused_with_auth_on(tmp_path: Path, environ: dict[str, str], problem: str) -> None:
    """A-9, E-5: published, short, or the signing key as a token; each with what to do."""
    assert problem in problem_of(tmp_path, **{**AUTH, **environ})


def test_the_published_static_token_is_refused_when_it_is_left_as_it_is(tmp_path: Path) -> None:
    """A-9: turning auth on alone is not enough."""
    message = problem_of(tmp_path, VENDETTA_AUTH__ENABLED="true")
    assert message.count("is the published default") == 2
    assert message.count("openssl rand -hex 32") == 2


def test_a_secret_between_16_characters_and_32_bytes_is_a_warning(tmp_path: Path) -> None:
    """A-9: characters for the limit, bytes for the warning."""
    (warning,) = load(environ={**AUTH, "VENDETTA_JWT_SECRET": "x" * 31}, cwd=tmp_path).warnings
    assert "auth.jwt_secret is shorter than 32 bytes" in warning
    assert load(environ={**AUTH, "VENDETTA_JWT_SECRET": "é" * 16}, cwd=tmp_path).warnings == ()


def test_with_auth_off_the_published_secrets_are_fine(tmp_path: Path) -> None:
    """A-9, E-6: the documented default starts."""
    assert load(environ={}, cwd=tmp_path).settings.auth.enabled is False
