"""How fast commands run over SSH: ours beside what others use, taken in turn on ten sshds of this machine.

    .venv/bin/python -m hack.bench.ssh [--rounds 5] [--commands 500] [--runners sh,auto] [--rows 1,4] [--json FILE]

`run protocol` is our transport alone: every command claimed, detached, its output collected. `API to result` is a
whole server: POST, SQLite with a durable commit for each state, controller, transport, stored result. Every output
of every contender is checked. Each contender is a process of its own; a round is A B C, a first one is thrown away,
medians are of the others, a ratio is the median of the rounds' ratios.

What would make the numbers wrong, and is seen to: a login shell that reads ~/.bashrc for every command (SHLVL=1),
sshd's limit of ten channels, the slower default cipher, a base directory with history, files deleted while
measuring. parallel-ssh's ordinary form waits for delayed acknowledgements: so it comes.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from hack.bench.ssh import rows
from hack.bench.ssh.farm import Fleets, peers_python
from hack.bench.ssh.machine import describe
from hack.bench.ssh.measure import Bench, Sizes

ROOT = Path(__file__).resolve().parents[3]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=5, help="that count; one more comes before them, unless it is only one"
    )
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--commands", type=int, default=500, help="on all nodes together")
    parser.add_argument("--width", type=int, default=4, help="of ours in flight on a node")
    parser.add_argument("--latency", type=int, default=300, help="commands one after another")
    parser.add_argument("--connections", type=int, default=1000, help="that do nothing (row 6)")
    parser.add_argument("--idle", type=float, default=40.0, help="seconds for which they do nothing")
    parser.add_argument("--runners", default="sh,auto", help="sh: in shell; auto: what the node's programs allow")
    parser.add_argument("--rows", default="1,2,3,4,5,6")
    parser.add_argument("--no-peers", action="store_true", help="none that need an environment of their own")
    parser.add_argument("--json", type=Path, help="write everything there as well")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write."""
    asked = arguments()
    wanted = {int(row) for row in asked.rows.split(",")}
    runners = asked.runners.split(",")
    if shutil.which("perl") is None and "sh" in runners:
        runners = ["sh"]
    sizes = Sizes(
        nodes=asked.nodes,
        each=max(1, asked.commands // asked.nodes),
        width=asked.width,
        latency=asked.latency,
        held=max(1, asked.connections // asked.nodes),
        idle=asked.idle,
        rounds=asked.rounds,
    )
    peers = None if asked.no_peers else peers_python(ROOT)
    about = describe(ROOT, peers)
    print("\n".join(f"{name:10} {value}" for name, value in about.items()))
    print(f"{'command':10} python -m hack.bench.ssh {shlex.join(sys.argv[1:])}\n", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vb", ignore_cleanup_errors=True)))
        fleets = stack.enter_context(Fleets(folder, asked.nodes))
        bench = Bench(folder, fleets, runners, sizes, ROOT, peers)
        results = bench.run(wanted)
    found = rows.table(results, wanted)
    print(rows.text(results, found))
    if asked.json:
        everything = {
            "machine": about,
            "command": sys.argv[1:],
            "rows": [asdict(row) for row in found],
            "results": {
                what: {who: [asdict(r) for r in all_] for who, all_ in by.items()} for what, by in results.items()
            },
        }
        asked.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the nodes must not stay behind
    main()
