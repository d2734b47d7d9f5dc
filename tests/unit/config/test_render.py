"""Writing a configuration (contract A-2), and its reference page."""

import subprocess
import sys
from pathlib import Path

from controller.config import default_config, load, render_config
from controller.config.keys import KEYS, dotted
from controller.config.render import is_extension
from controller.settings import PUBLISHED_AUTH_TOKEN, PUBLISHED_JWT_SECRET
from controller.strictyaml import read_document

ROOT = Path(__file__).parents[3]
DOCUMENTED = Path(__file__).parents[1] / "data/documented-configuration.yaml"


def test_it_loads_back_to_the_same_settings(tmp_path: Path) -> None:
    """A-2: what is printed is what one gets, secrets included."""
    settings = default_config()
    (tmp_path / "coordination.yaml").write_text(render_config(settings))
    result = load(environ={}, cwd=tmp_path)
    paths = {"credentials_dir": tmp_path / "credentials"}
    expected = settings.model_copy(update={"transports": settings.transports.model_copy(update=paths)})
    assert result.settings == expected
    assert load(environ={"VENDETTA_AUTH__ENABLED": "true"}, cwd=tmp_path).warnings == ()


def test_documented_keys_come_first_and_as_documented() -> None:
    """A-2: every line of the document's block, in its order, apart from the two secrets."""
    lines = iter(render_config(default_config()).splitlines())
    for line in DOCUMENTED.read_text().splitlines():
        if line and "auth_token" not in line and "jwt_secret" not in line:
            assert line in lines, f"{line!r} is missing or out of order"


def test_every_key_is_there_and_extensions_are_explained() -> None:
    """A-2: extension keys stand beside the documented ones, each under a one-line comment."""
    text = render_config(default_config())
    document = read_document(text)
    lines = text.splitlines()
    for key in KEYS:
        assert key in document.lines, dotted(key)
        above = lines[document.lines[key] - 2].strip()
        assert above.startswith("# ") == is_extension(key), dotted(key)
        assert len(above) > 10 or not is_extension(key), dotted(key)


def test_the_published_secrets_are_replaced_by_random_ones() -> None:
    """A-2: two files never share a secret, and the file says that they are random."""
    first, second = render_config(default_config()), render_config(default_config())
    for text in (first, second):
        assert PUBLISHED_AUTH_TOKEN not in text
        assert PUBLISHED_JWT_SECRET not in text
        assert "# server.auth_token and auth.jwt_secret are random" in text
    changed = [one for one, other in zip(first.splitlines(), second.splitlines(), strict=True) if one != other]
    assert [line.split(":")[0].strip() for line in changed] == ["auth_token", "jwt_secret"]


def test_the_reference_page_is_up_to_date() -> None:
    """A-2, A-12: docs/reference/configuration.md has every key with its default, as the models have it."""
    script = ROOT / "hack/update-configuration-docs.py"
    result = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
