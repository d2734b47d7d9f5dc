"""The main job, shown: a server, a throw-away SSH node, a command sent to it, its output, the event, the metrics.

Everything lives in a temporary folder and on loopback, and is gone when this ends.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncssh
import httpx2

ROOT = Path(__file__).resolve().parent.parent
VENDETTA = [sys.executable, "-m", "api.cli.main"]
ANSWER = "hello from an SSH-only node"
CONFIG = """\
server: {{host: 127.0.0.1, port: {port}}}
registry: {{provider: sqlite, dsn: vendetta.db}}
transports: {{credentials_dir: credentials}}
logging: {{output: server.log, format: text}}
"""


def main() -> int:
    """Show it; leave the server up until Ctrl-C unless told otherwise."""
    parser = argparse.ArgumentParser(prog="hack/run.sh", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the demonstration; exit 0 only if it worked")
    parser.add_argument("--port", type=int, default=3001, help="the server's port, another if it is taken")
    parser.add_argument("--without-sshd", action="store_true", help="use asyncssh for the node, also where sshd is")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="vendetta-") as folder, contextlib.ExitStack() as stack:
        demo = Demo(Path(folder), free_port(arguments.port), free_port(2222), stack)
        demo.node_options = ["--without-sshd"] if arguments.without_sshd else []
        try:
            worked = demo.show()
            if worked and not arguments.once:
                demo.stay()
        except KeyboardInterrupt:
            print("\nStopping.")
            return 130 if arguments.once else 0
    return 0 if worked else 1


class Demo:
    """One demonstration."""

    def __init__(self, folder: Path, port: int, node_port: int, stack: contextlib.ExitStack) -> None:
        self.folder, self.port, self.node_port, self.stack = folder, port, node_port, stack
        self.url = f"http://127.0.0.1:{port}"
        self.events: list[str] = []
        self.node_options: list[str] = []

    def show(self) -> bool:
        """All of it, in order; whether the command's output was right."""
        say("Starting the server on an embedded SQLite store")
        self.start_server()
        say(f"Starting a throw-away SSH node on 127.0.0.1:{self.node_port}")
        self.start_node()
        threading.Thread(target=self.listen, daemon=True).start()
        say("Applying examples/node.yaml")
        self.vendetta("apply", "-f", str(self.manifest()))
        say("Running a command on it")
        output = self.vendetta("exec", "demo-01", "--", "echo", ANSWER)
        say("What an event stream heard (curl -N " + self.url + "/ws)")
        wait_for(lambda: len(self.events) >= 3)
        print("   " + "\n   ".join(event[:110] for event in self.events))
        say("What the metrics count (curl " + self.url + "/metrics/prometheus)")
        print("   " + "\n   ".join(self.metrics()))
        return output.strip() == ANSWER

    def stay(self) -> None:
        """Leave the server up, and say what to try."""
        vendetta = shutil.which("vendetta", path=str(ROOT / ".venv/bin")) or "vendetta"
        server = "" if self.port == 3001 else f" --server {self.url}"
        say(f"The server is up at {self.url} (Ctrl-C stops everything). Three things to try:")
        print(f"   {vendetta}{server} exec demo-01 --shell 'uname -a; uptime'")
        print(f"   {vendetta}{server} get nodes")
        print(f"   curl -N {self.url}/ws        # and run a command in another terminal")
        while True:
            time.sleep(3600)

    def start_server(self) -> None:
        """Start it and wait until it is ready."""
        (self.folder / "coordination.yaml").write_text(CONFIG.format(port=self.port))
        command = [*VENDETTA, "coordination", "start", "--config", str(self.folder / "coordination.yaml")]
        self.start(command, "server.err")
        wait_for(lambda: self.get("/readyz") is not None, log=self.folder / "server.err")

    def start_node(self) -> None:
        """Make a key for it, start it and wait for its banner."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        credentials = self.folder / "credentials"
        credentials.mkdir(mode=0o700)
        (credentials / "demo-key").touch(mode=0o600)
        (credentials / "demo-key").write_bytes(key.export_private_key())
        (self.folder / "demo-key.pub").write_bytes(key.export_public_key())
        node = [sys.executable, str(ROOT / "hack/throwaway_node.py"), "--dir", str(self.folder / "node")]
        node += ["--port", str(self.node_port), "--authorized-key", str(self.folder / "demo-key.pub")]
        self.start([*node, *self.node_options], "node.log")
        wait_for(self.node_answers, log=self.folder / "node.log")

    def node_answers(self) -> bool:
        """Whether the node shows an SSH banner."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.node_port), 1) as peer:
            return peer.recv(4) == b"SSH-"
        return False

    def start(self, command: list[str], log: str) -> None:
        """Start a process that ends with the demonstration."""
        with (self.folder / log).open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)
        self.stack.callback(end, process)

    def manifest(self) -> Path:
        """The example, at the port that the node really has."""
        text = (ROOT / "examples/node.yaml").read_text().replace("port: 2222", f"port: {self.node_port}")
        path = self.folder / "node.yaml"
        path.write_text(text)
        return path

    def vendetta(self, *arguments: str) -> str:
        """Run the CLI, show what it was told and what it said."""
        shown = " ".join(a if " " not in a else f"'{a}'" for a in arguments)
        print(f"   $ vendetta {shown}".replace(str(self.folder / "node.yaml"), "examples/node.yaml"))
        environment = {**os.environ, "VENDETTA_SERVER": self.url}
        done = subprocess.run(
            [*VENDETTA, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        print("   " + (done.stdout + done.stderr).strip().replace("\n", "\n   "))
        return done.stdout

    def get(self, path: str) -> httpx2.Response | None:
        """The response, None while the server does not answer."""
        try:
            response = httpx2.get(self.url + path, trust_env=False, timeout=2)
        except httpx2.HTTPError:
            return None
        return response if response.is_success else None

    def listen(self) -> None:
        """Keep the data lines of the event stream."""
        with httpx2.stream("GET", self.url + "/ws", trust_env=False, timeout=None) as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    self.events.append(line)

    def metrics(self) -> Iterator[str]:
        """A few lines that counted the command."""
        response = self.get("/metrics/prometheus")
        for line in response.text.splitlines() if response else ():
            if line.startswith(("vendetta_commands_finished_total", "vendetta_deliveries_total")):
                yield line


def say(text: str) -> None:
    """A step."""
    print(f"==> {text}", flush=True)


def free_port(wanted: int) -> int:
    """The port, or another one when it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(ready: Callable[[], bool], *, seconds: float = 20, log: Path | None = None) -> None:
    """Wait until it is; exit with the log's end when it takes too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:] if log and log.exists() else ""
            sys.exit(f"That took too long.\n{tail}")
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, and the sessions that it started."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
