"""A real server process on loopback, with a folder of its own for configuration, credentials and state."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.support.nodes import Node, free_port

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """`vendetta coordination start`, as anybody would run it. Ended by `stop` (SIGTERM) or `kill` (SIGKILL)."""

    def __init__(self, folder: Path, **sections: dict[str, Any]) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}
        self.code = ROOT
        """The checkout that it runs."""
        self.prefix: list[str] = []
        """What comes before its command line, to run it in a namespace."""
        self.credentials = folder / "credentials"
        self.credentials.mkdir(mode=0o700, exist_ok=True)
        config: dict[str, dict[str, Any]] = {
            "server": {"host": "127.0.0.1", "port": self.port},
            "registry": {"provider": "sqlite", "dsn": "vendetta.db"},
        }
        for section, values in sections.items():
            config[section] = {**config.get(section, {}), **values}
        self.config = folder / "coordination.yaml"
        self.config.write_text(yaml.safe_dump(config))
        self.http = httpx2.Client(base_url=self.url, trust_env=False, timeout=60)

    def launch(self) -> None:
        """Start it, and leave it to itself."""
        command = [sys.executable, "-m", "api.cli.main", "coordination", "start", "--config", str(self.config)]
        command = [*self.prefix, *command]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VENDETTA_")} | self.environment
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.code, stdout=log, stderr=log, env=environment)

    def start(self) -> "Server":
        """Start it and wait until it is ready."""
        self.launch()
        assert self.process is not None
        deadline = time.monotonic() + 20
        while not self.is_ready():
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < deadline, self.log.read_text(errors="replace")
            time.sleep(0.02)
        return self

    def is_ready(self) -> bool:
        """Whether it serves."""
        try:
            return self.http.get("/readyz").is_success
        except httpx2.TransportError:
            return False

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def close(self) -> None:
        """End it, however it is."""
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def credential(self, name: str, node: Node) -> str:
        """Put the node's key into the credentials directory."""
        path = self.credentials / name
        path.touch(mode=0o600)
        path.write_bytes(node.key_path.read_bytes())
        return name

    def transport_to(self, node: Node, **more: Any) -> dict[str, Any]:
        """The `transport` that reaches that node."""
        return {
            "type": "ssh",
            "address": node.address,
            "port": node.port,
            "user": node.user,
            "credential_ref": self.credential("key", node),
            "host_keys": [node.host_key],
            **more,
        }

    def register(self, name: str, node: Node, **fields: Any) -> dict[str, Any]:
        """Register that node under a name."""
        body = {
            "id": name,
            "provider": "ssh",
            "address": node.address,
            "transport": fields.pop("transport", None) or self.transport_to(node),
            **fields,
        }
        response = self.http.post("/api/v1/nodes", json=body)
        assert response.status_code == 200, response.text
        registered: dict[str, Any] = response.json()
        return registered

    def send(self, node: str, action: str = "", *, wait: str | None = None, **params: Any) -> httpx2.Response:
        """Send a command."""
        body: dict[str, Any] = {"type": "exec", "action": action, "params": params}
        return self.http.post(f"/api/v1/nodes/{node}/commands", json=body, params={"wait": wait} if wait else {})

    def command(self, command_id: str) -> dict[str, Any]:
        """The command as it is now."""
        found: dict[str, Any] = self.http.get(f"/api/v1/commands/{command_id}").json()
        return found

    def ended(self, command_id: str, seconds: float = 60) -> dict[str, Any]:
        """The command once it has ended."""
        deadline = time.monotonic() + seconds
        while (found := self.command(command_id))["status"] in {"pending", "running"}:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found

    def until(self, command_id: str, status: str, seconds: float = 30) -> dict[str, Any]:
        """The command once it has that status."""
        deadline = time.monotonic() + seconds
        while (found := self.command(command_id))["status"] != status:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found
