"""A transport in a package of its own: installed, found by its entry point, under the contract, used by a server."""

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import MakeServer
from tests.support.server import ROOT

PLUGIN = ROOT / "examples" / "transport-plugin"


def test_the_plugin_of_the_examples(tmp_path: Path, make_server: MakeServer) -> None:
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    options = ["--no-build-isolation", "--no-index", "--target", str(installed)]
    subprocess.run([*pip, *options, str(PLUGIN)], check=True)
    environment = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"}
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    suite += ["--import-mode=importlib", "--rootdir", str(PLUGIN), "-o", "asyncio_mode=auto", str(PLUGIN / "tests")]
    done = subprocess.run(suite, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    home = tmp_path / "home"
    home.mkdir()
    server = make_server()
    server.environment |= {"PYTHONPATH": environment["PYTHONPATH"], "HOME": str(home)}
    server.start()
    transport = {"type": "local"}
    body = {"id": "here", "address": "here", "transport": transport}
    assert server.http.post("/api/v1/nodes", json=body).status_code == 200
    result = server.send("here", "pwd; exit 6").json()
    assert (result["output"], result["exit_code"], result["transport"]) == (str(home), 6, "local")
