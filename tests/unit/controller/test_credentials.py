"""Secrets by reference (contract E-8, B-2)."""

from pathlib import Path

import pytest

from controller.credentials import Credentials
from transports.errors import AuthFailed


def test_a_file_is_a_key_and_its_neighbour_the_certificate(tmp_path: Path) -> None:
    """B-2: `<ref>` with `<ref>-cert.pub` beside it."""
    (tmp_path / "deploy").write_bytes(b"KEY")
    (tmp_path / "deploy-cert.pub").write_bytes(b"CERT")
    credential = Credentials(tmp_path).load("deploy")
    assert (credential.private_key, credential.certificate) == (b"KEY", b"CERT")


def test_a_folder_holds_files_named_as_in_kubernetes_secrets(tmp_path: Path) -> None:
    """B-2: a mounted Secret works as it is."""
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "password").write_text("s3cret\n")
    credential = Credentials(tmp_path).load("db")
    assert (credential.password, credential.private_key) == ("s3cret", None)
    assert "s3cret" not in repr(credential)


@pytest.mark.parametrize("ref", ["../etc/passwd", "a/b", "..", ".", "", "x\x00y"])
def test_a_reference_is_never_a_path(tmp_path: Path, ref: str) -> None:
    """B-2: one path component, resolved inside the directory."""
    with pytest.raises(AuthFailed, match="not the name of a credential"):
        Credentials(tmp_path).load(ref)


def test_a_missing_credential_is_named_and_no_path_is_shown(tmp_path: Path) -> None:
    """E-8, B-10: the message says what to do, without the server's paths."""
    with pytest.raises(AuthFailed, match="no credential 'nobody'") as caught:
        Credentials(tmp_path).load("nobody")
    assert str(tmp_path) not in str(caught.value)


def test_a_huge_file_is_no_key(tmp_path: Path) -> None:
    """A mistake costs no memory."""
    (tmp_path / "huge").write_bytes(b"x" * 100_000)
    with pytest.raises(AuthFailed, match="larger than"):
        Credentials(tmp_path).load("huge")


def test_a_command_can_read_values_and_never_a_key(tmp_path: Path) -> None:
    """E-5, E-8: values for commands lie apart from what opens nodes."""
    (tmp_path / "deploy").write_bytes(b"KEY")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "api-key").write_text("s3cret\n")
    credentials = Credentials(tmp_path)
    assert credentials.secret("api-key") == "s3cret"
    with pytest.raises(AuthFailed, match="env/deploy"):
        credentials.secret("deploy")
