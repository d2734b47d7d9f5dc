"""Where it was measured: no figure means anything without that."""

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def describe(root: Path, peers: Path | None) -> dict[str, str]:
    """Machine and versions, for people."""
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.strip()
    sh = os.path.realpath("/bin/sh")
    about = {
        "machine": f"{os.cpu_count()} x {processor()}, {memory()} GiB, Linux {platform.release()}, sh is {sh}",
        "load": f"{os.getloadavg()[0]:.1f} before",
        "versions": f"Python {platform.python_version()}, asyncssh {version('asyncssh')}, "
        f"cryptography {version('cryptography')}, uvloop {version('uvloop')}, {ssh}",
        "revision": revision(root),
    }
    if peers:
        asked = "from importlib.metadata import version as v; print(v('parallel-ssh'), v('ansible-core'))"
        pssh, ansible = subprocess.check_output([peers, "-c", asked], text=True).split()
        about["peers"] = f"parallel-ssh {pssh}, ansible-core {ansible}"
    return about


def processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def revision(root: Path) -> str:
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or sys.argv[0]
