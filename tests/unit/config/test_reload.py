"""When a configuration is read again (contract A-10)."""

from pathlib import Path

import pytest

from api.reload import Reloader, signature_of
from controller.config import Loaded, load
from controller.metrics import Metrics

JWT, TOKEN = "j" * 40, "t" * 40


def loaded(folder: Path) -> Loaded:
    """A configuration of two files: its own, and that of a secret."""
    (folder / "coordination.yaml").write_text(f"auth: {{enabled: true}}\nserver: {{auth_token: {TOKEN}}}\n")
    (folder / "secret").write_text(JWT)
    return load(folder / "coordination.yaml", environ={"VENDETTA_JWT_SECRET_FILE": "secret"}, cwd=folder)


def unused() -> Loaded:
    raise AssertionError("nothing is to be read")


@pytest.mark.parametrize("name", ["coordination.yaml", "secret"])
def test_a_change_counts_once_it_stands_still(tmp_path: Path, name: str) -> None:
    """Of a file that is being written, and of one whose name leads elsewhere; the same content in place is none."""
    told = loaded(tmp_path)
    reloader = Reloader(told, unused, Metrics())
    assert not reloader.has_changed(signature_of(told.files))
    (tmp_path / name).write_text("half")
    assert not reloader.has_changed(signature_of(told.files))
    (tmp_path / name).write_text("half and half")
    assert not reloader.has_changed(signature_of(told.files))
    assert reloader.has_changed(signature_of(told.files))


def test_a_file_that_goes_away_is_a_change_and_one_that_comes_back_as_it_was_is_none(tmp_path: Path) -> None:
    """Between two looks nobody knows what happened: only what is there counts."""
    told = loaded(tmp_path)
    reloader = Reloader(told, unused, Metrics())
    (tmp_path / "secret").rename(tmp_path / "aside")
    gone = signature_of(told.files)
    assert not reloader.has_changed(gone)
    assert reloader.has_changed(gone)
    (tmp_path / "aside").rename(tmp_path / "secret")
    back = signature_of(told.files)
    assert not reloader.has_changed(back)
    assert not reloader.has_changed(back)
