"""What an idle server costs: 1,000 nodes on the fake transport, probed every ten seconds.

The server is the real one, on SQLite, with the fake transport installed beside it as a plugin.

    .venv/bin/python -m hack.bench.idle [--nodes 1000] [--seconds 60]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.support.server import ROOT, Server

PLUGIN = """from transports.fake import FakeNode, FakeTransport


def everywhere():
    return FakeTransport(everywhere=lambda: FakeNode(inline=2048))
"""
ENTRY_POINT = "[vendetta.transports]\nfake = vendetta_bench_fake:everywhere\n"
METADATA = "Metadata-Version: 2.1\nName: vendetta-bench-fake\nVersion: 0\n"


def install_plugin(folder: Path) -> None:
    """Make the fake transport findable by entry point, as any plugin is."""
    info = folder / "vendetta_bench_fake-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINT)
    (folder / "vendetta_bench_fake.py").write_text(PLUGIN)


def cost(pid: int) -> tuple[float, float]:
    """CPU seconds used so far, and MiB resident."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Measure with no node, then with all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install_plugin(folder)
        server = Server(folder, logging={"level": "warning"})
        server.environment["PYTHONPATH"] = f"{folder}:{ROOT}"
        try:
            server.start()
            assert server.process is not None
            _, empty = cost(server.process.pid)
            for i in range(arguments.nodes):
                body = {"id": f"node-{i}", "address": f"fake-{i}", "transport": {"type": "fake"}}
                server.http.post("/api/v1/nodes", json=body).raise_for_status()
            time.sleep(25)
            before, _ = cost(server.process.pid)
            time.sleep(arguments.seconds)
            after, full = cost(server.process.pid)
            active = server.http.get("/metrics").json()["nodes"]["by_status"]
        finally:
            server.close()
    percent = (after - before) / arguments.seconds * 100
    each = (full - empty) * 1024 / arguments.nodes
    print(f"nodes {arguments.nodes} {active}   CPU {percent:.2f} % of a core")
    print(f"memory {full:.1f} MiB with them, {empty:.1f} MiB without: {each:.1f} KiB a node, the fake node included")


if __name__ == "__main__":
    main()
