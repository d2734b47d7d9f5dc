"""The real helm, and what it renders."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/vendetta"


def find_tool(name: str) -> str:
    """One of the tools that hack/tools.sh puts beside Python. Without it the test is skipped; on CI it fails."""
    found = Path(sys.executable).with_name(name)
    if found.exists():
        return str(found)
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed: hack/tools.sh builds it")
    pytest.skip(f"{name} is not installed: hack/tools.sh builds it")


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What helm does with these arguments."""
    line = [find_tool("helm"), *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


Manifests = dict[tuple[str, str], dict[str, Any]]


def rendered(*arguments: str, chart: Path = CHART) -> Manifests:
    """The objects of a release called `test`, by kind and name."""
    done = helm("template", "test", str(chart), "--namespace", "somewhere", *arguments)
    assert done.returncode == 0, done.stderr
    found = [obj for obj in yaml.safe_load_all(done.stdout) if obj]
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in found}


def refused(*arguments: str) -> str:
    """Why helm renders nothing."""
    done = helm("template", "test", str(CHART), *arguments)
    assert done.returncode != 0, done.stdout
    return done.stderr
