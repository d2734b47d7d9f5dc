"""Which server and which token (contract F-4)."""

from pathlib import Path

import pytest

from api.cli.connection import Connection, resolve
from api.cli.errors import Misused
from controller.strictyaml import write_document

CONTEXTS = """
current: dev
contexts:
  dev: {server: "http://dev:3001", token: dev-token}
  ci: {server: "https://ci/vendetta/", token_file: ci.token}
  bare: {}
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "vendetta").mkdir()
    (tmp_path / "vendetta/contexts.yaml").write_text(CONTEXTS)
    (tmp_path / "vendetta/ci.token").write_text("ci-token\n")
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_without_anything_it_is_this_machine(tmp_path: Path) -> None:
    """F-4: the last resort."""
    assert resolve(environ={"HOME": str(tmp_path)}) == Connection(url="http://127.0.0.1:3001")


def test_server_is_flag_variable_context(environ: dict[str, str]) -> None:
    """F-4: in this order; a slash at the end does not count."""
    assert resolve(environ=environ).url == "http://dev:3001"
    assert resolve(environ=environ, context="ci").url == "https://ci/vendetta"
    environ["VENDETTA_SERVER"] = "http://variable/"
    assert resolve(environ=environ).url == "http://variable"
    assert resolve(environ=environ, server="http://flag").url == "http://flag"


def test_token_is_file_variable_context(environ: dict[str, str], tmp_path: Path) -> None:
    """F-4: in this order; the line's end does not count."""
    assert resolve(environ=environ).token == "dev-token"
    assert resolve(environ=environ, context="ci").token == "ci-token"
    assert resolve(environ=environ, context="bare").token is None
    environ["VENDETTA_TOKEN"] = "variable-token\n"
    assert resolve(environ=environ).token == "variable-token"
    (tmp_path / "t").write_text("file-token\n")
    assert resolve(environ=environ, token_file=str(tmp_path / "t")).token == "file-token"


@pytest.mark.parametrize("token", ["se\ncret", " secret", "secret\n\n", "sécret", "sec\x00ret", "\n"])
def test_what_cannot_be_a_token_is_refused_unseen(environ: dict[str, str], tmp_path: Path, token: str) -> None:
    """F-3, E-8: from a file, the environment or a context; exit code 2, and the sentence does not show it."""
    (tmp_path / "t").write_text(token)
    (tmp_path / "vendetta/contexts.yaml").write_text(write_document({"contexts": {"x": {"token": token}}}))
    sources: list[tuple[dict[str, str], str | None, str | None]] = [
        ({}, str(tmp_path / "t"), None),
        ({"VENDETTA_TOKEN": token}, None, None),
        ({}, None, "x"),
    ]
    for more, file, context in sources:
        with pytest.raises(Misused) as caught:
            resolve(environ=environ | more, token_file=file, context=context)
        assert "cret" not in str(caught.value)
        assert "token" in str(caught.value)


def test_a_contexts_token_goes_to_its_own_server_only(environ: dict[str, str]) -> None:
    """E-8: naming another server does not send it a token that was made for this one."""
    assert resolve(environ=environ, server="http://elsewhere").token is None
    assert resolve(environ=environ, server="http://dev:3001/").token == "dev-token"
    environ["VENDETTA_SERVER"] = "http://elsewhere"
    assert resolve(environ=environ).token is None


def test_the_token_is_not_in_the_repr(environ: dict[str, str]) -> None:
    """E-8: no secret gets into a traceback or a log."""
    assert "dev-token" not in repr(resolve(environ=environ))


@pytest.mark.parametrize(
    "url", ["dev:3001", "dev", "ftp://dev", "http://", "http://u:p@dev", "http://dev?x=1", "http:/x"]
)
def test_a_url_must_be_one(tmp_path: Path, url: str) -> None:
    """F-3: exit code 2, and a sentence that shows how to write it."""
    with pytest.raises(Misused, match=r"write it like|give a token"):
        resolve(environ={"HOME": str(tmp_path)}, server=url)


@pytest.mark.parametrize(
    ("text", "context", "problem"),
    [
        (CONTEXTS, "nope", "there is no context 'nope' (there is: bare, ci, dev)"),
        ("current: x", None, "there is no context 'x' (there is: none)"),
        ("contexts: [1]", "x", "expected `current: NAME`"),
        ("- 1", None, "expected `current: NAME`"),
        ("current: x\ncontexts: {x: {sever: http://x}}", None, "unknown key 'sever'"),
        ("a: [", None, "contexts.yaml:"),
        ("current: x\ncontexts: {x: {token_file: nope}}", None, "cannot read the token file"),
    ],
)
def test_a_broken_contexts_file_is_told(tmp_path: Path, text: str, context: str | None, problem: str) -> None:
    """F-3: it names the file, and what is wrong in it."""
    (tmp_path / "vendetta").mkdir()
    (tmp_path / "vendetta/contexts.yaml").write_text(text)
    with pytest.raises(Misused) as caught:
        resolve(environ={"XDG_CONFIG_HOME": str(tmp_path)}, context=context)
    assert problem in str(caught.value)


def test_a_context_without_a_file(tmp_path: Path) -> None:
    """F-3: asked for by name, and nowhere to look."""
    with pytest.raises(Misused, match="does not exist"):
        resolve(environ={"HOME": str(tmp_path)}, context="x")
