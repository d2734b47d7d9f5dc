"""Loading the configuration (contract A-1, A-3, A-9, A-11)."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from controller.config import ConfigError, Loaded, load
from controller.duration import SECOND
from controller.settings import Settings

DOCUMENTED = Path(__file__).parents[1] / "data/documented-configuration.yaml"


def problems_of(cwd: Path, text: str = "", environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    (cwd / "c.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(Path("c.yaml"), environ=environ or {}, cwd=cwd)
    return caught.value.problems


def loaded(cwd: Path, text: str = "", environ: Mapping[str, str] | None = None) -> Loaded:
    (cwd / "c.yaml").write_text(text)
    return load(Path("c.yaml"), environ=environ or {}, cwd=cwd)


def test_the_documented_file_says_the_defaults(tmp_path: Path) -> None:
    """A-1: every key of the document loads, and its value there is the default here."""
    given = load(DOCUMENTED, environ={}, cwd=tmp_path)
    default = load(environ={}, cwd=tmp_path)
    same = {"transports": default.settings.transports}  # holds a path relative to the file
    assert given.settings.model_copy(update=same) == default.settings
    assert given.source == DOCUMENTED
    assert default.source is None


def test_precedence_is_flag_environment_file_default(tmp_path: Path) -> None:
    """A-1: each source beats the next."""
    text, environ = "server: {port: 1}", {"VENDETTA_COORD_PORT": "2"}
    assert load(environ={}, cwd=tmp_path).settings.server.port == 3001
    assert loaded(tmp_path, text).settings.server.port == 1
    assert loaded(tmp_path, text, environ).settings.server.port == 2
    flagged = load(Path("c.yaml"), flags={"server.port": 3, "server.host": None}, environ=environ, cwd=tmp_path)
    assert flagged.settings.server.port == 3


def test_the_file_is_searched_in_order(tmp_path: Path) -> None:
    """A-1: --config, $VENDETTA_CONFIG, the working directory, XDG."""
    for port, name in enumerate(("flag.yaml", "env.yaml", "coordination.yaml", "xdg/vendetta/coordination.yaml"), 1):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"server: {{port: {port}}}")
    environ = {"VENDETTA_CONFIG": "env.yaml", "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert load(Path("flag.yaml"), environ=environ, cwd=tmp_path).settings.server.port == 1
    assert load(environ=environ, cwd=tmp_path).settings.server.port == 2
    del environ["VENDETTA_CONFIG"]
    assert load(environ=environ, cwd=tmp_path).settings.server.port == 3
    (tmp_path / "coordination.yaml").unlink()
    found = load(environ=environ, cwd=tmp_path)
    assert (found.settings.server.port, found.source) == (4, tmp_path / "xdg/vendetta/coordination.yaml")
    home = {"HOME": str(tmp_path / "home")}
    (tmp_path / "home/.config").mkdir(parents=True)
    (tmp_path / "xdg/vendetta").rename(tmp_path / "home/.config/vendetta")
    assert load(environ=home, cwd=tmp_path).settings.server.port == 4


@pytest.mark.parametrize("environ", [{}, {"VENDETTA_CONFIG": "missing.yaml"}])
def test_a_named_file_must_exist(tmp_path: Path, environ: dict[str, str]) -> None:
    """A-1: an explicit file that does not exist is an error, from the flag and from the variable."""
    config = None if environ else Path("missing.yaml")
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot read .*No such file"):
        load(config, environ=environ, cwd=tmp_path)


def test_a_dangling_link_in_a_usual_place_is_an_error(tmp_path: Path) -> None:
    """A-1: a file that is there and cannot be read is not passed over."""
    (tmp_path / "coordination.yaml").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="cannot read"):
        load(environ={}, cwd=tmp_path)


def test_paths_are_relative_to_who_gives_them(tmp_path: Path) -> None:
    """A-1, B-2: the file's own folder for the file's values and the defaults, else the working directory."""
    (tmp_path / "etc").mkdir()
    text = "transports: {known_hosts: hosts}\nlogging: {output: log/v.log}\nregistry: {provider: sqlite, dsn: x.db}\n"
    (tmp_path / "etc/c.yaml").write_text(text)
    settings = load(Path("etc/c.yaml"), environ={}, cwd=tmp_path).settings
    assert settings.transports.credentials_dir == tmp_path / "etc/credentials"
    assert settings.transports.known_hosts == tmp_path / "etc/hosts"
    assert settings.logging.output == str(tmp_path / "etc/log/v.log")
    assert settings.registry.dsn == str(tmp_path / "etc/x.db")
    environ = {"VENDETTA_LOGGING__OUTPUT": "here.log", "VENDETTA_REGISTRY__DSN": "/abs/x.db"}
    settings = load(Path("etc/c.yaml"), environ=environ, cwd=tmp_path).settings
    assert settings.logging.output == str(tmp_path / "here.log")
    assert settings.registry.dsn == "/abs/x.db"
    settings = load(environ={"VENDETTA_REGISTRY__PROVIDER": "sqlite"}, cwd=tmp_path).settings
    assert settings.registry.dsn == str(tmp_path / "vendetta.db")
    assert settings.transports.credentials_dir == tmp_path / "credentials"


@pytest.mark.parametrize("dsn", ["sqlite:///x.db", "file:x.db", ":memory:"])
def test_a_url_is_no_relative_path(tmp_path: Path, dsn: str) -> None:
    """A-6: a dsn with a scheme stays as it is."""
    assert loaded(tmp_path, f'registry: {{provider: sqlite, dsn: "{dsn}"}}').settings.registry.dsn == dsn


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server:\n  prot: 1\n", "c.yaml:2: unknown key 'server.prot': did you mean 'server.port'?"),
        ("auth:\n  auth_token: x", "c.yaml:2: unknown key 'auth.auth_token': did you mean 'server.auth_token'?"),
        ("loging: {}", "c.yaml:1: unknown key 'loging': did you mean 'logging'?"),
        ("transports:\n  ssh:\n    defaultUser: x", "c.yaml:3: unknown key 'transports.ssh.defaultUser': did you"),
        ("\ntls: {cert: x}", "c.yaml:2: unknown key 'tls'"),
        ("server: 3", "c.yaml:1: server must be a mapping"),
        ("- 1", "c.yaml:1: the file must be a mapping"),
        ("server:\n  port: 70000", "c.yaml:2: server.port must be less than or equal to 65535, got 70000"),
        ("server: {port: '3001'}", "c.yaml:1: server.port must be a valid integer, got '3001'"),
        ("server: {port: true}", "c.yaml:1: server.port must be a valid integer, got True"),
        ("server: {port: 3001.0}", "c.yaml:1: server.port must be a valid integer, got 3001.0"),
        ("server: {port: }", "c.yaml:1: server.port must be a valid integer, got None"),
        ("websocket: {enabled: yes}", "c.yaml:1: websocket.enabled must be a valid boolean, got 'yes'"),
        ("websocket: {path: ws}", "c.yaml:1: websocket.path must match pattern"),
        ("websocket: {path: /api/ws}", "c.yaml:1: websocket.path '/api/ws' is taken"),
        ('websocket: {origins: ["*", foo]}', "c.yaml:1: websocket.origins[1] is wrong: 'foo' is not an origin"),
        ('server: {trusted_proxies: ["10.0.0.0/40"]}', "c.yaml:1: server.trusted_proxies[0] is wrong"),
        ("registry: {provider: redis}", "must be 'memory', 'sqlite' or 'postgres', got 'redis'"),
        ("registry: {provider: postgres}", "registry.dsn is missing"),
        ("server: {role: api}", "needs other servers on the same store"),
        ("server: {role: standby}", "must be 'all', 'api' or 'controller', got 'standby'"),
        ("registry: {node_timeout: 60}", 'registry.node_timeout must be a duration such as "30s", got 60'),
        ("registry: {node_timeout: 1d}", "registry.node_timeout is wrong: '1d' is not a duration"),
        ("registry: {node_timeout: -1s}", "registry.node_timeout is wrong: '-1s' is not a duration"),
        ("registry: {node_timeout: 0s}", "registry.node_timeout must be at least 1ms, got '0s'"),
        ("a: 1\na: 2", "c.yaml:2: the key 'a' is here twice"),
    ],
)
def test_a_problem_names_file_line_key_and_value(tmp_path: Path, text: str, problem: str) -> None:
    """A-1, A-3: unknown keys name the nearest known key; wrong types and ranges name the value."""
    (only,) = problems_of(tmp_path, text)
    assert problem in only


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """A-1: a line for each, from every source and of every sort."""
    environ = {"VENDETTA_COORD_PORT": "abc", "VENDETTA_REGISTRY__PROVIDR": "x"}
    found = problems_of(tmp_path, "server: {prot: 1}\nauth: {enabled: true}\nlogging: {level: 3}\n", environ)
    for part in (
        "server.prot",
        "COORD_PORT",
        "PROVIDR",
        "auth.jwt_secret is",
        "server.auth_token is",
        "logging.level",
    ):
        assert sum(part in problem for problem in found) == 1, part
    assert len(found) == 6
    assert not any("\n" in problem for problem in found)


def test_a_section_of_comments_only_is_fine(tmp_path: Path) -> None:
    """A-1: `server:` with nothing under it says nothing."""
    assert loaded(tmp_path, "server:\n  # port: 1\nlogging:\n").settings.server == Settings().server


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("server: {auth_token: [hunter2hunter2]}", {}),
        ("auth: {enabled: true, jwt_secret: hunter2}", {}),
        ("auth: {jwt_secret: {a: hunter2}}", {}),
        ("registry: {dsn: [hunter2]}", {}),
        ("auth: {enabled: true}", {"VENDETTA_JWT_SECRET": "hunter2"}),
    ],
)
def test_a_secrets_value_is_never_shown(tmp_path: Path, text: str, environ: dict[str, str]) -> None:
    """A-1, E-8: the problem names the key, not the secret."""
    found = problems_of(tmp_path, text, environ)
    assert found
    assert "hunter2" not in "\n".join(found)


def test_secrets_are_not_in_the_settings_repr(tmp_path: Path) -> None:
    """E-8: printing the settings gives nothing away."""
    text = "auth: {jwt_secret: hunter2}\nserver: {auth_token: hunter2}\nregistry: {dsn: postgres://u:hunter2@h/d}"
    result = loaded(tmp_path, text)
    assert "hunter2" not in repr(result) + str(result.settings)


@pytest.mark.parametrize("timeout", ["100ms", "1.5s", "2h30m15s", "7000µs"])
def test_durations_are_gos(tmp_path: Path, timeout: str) -> None:
    """A-3: from the file."""
    nanoseconds = {"100ms": 0.1, "1.5s": 1.5, "2h30m15s": 9015, "7000µs": 0.007}[timeout] * SECOND
    assert loaded(tmp_path, f"server: {{read_timeout: {timeout}}}").settings.server.read_timeout == nanoseconds
