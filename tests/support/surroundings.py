"""What a node shows its logins in place of the machine's own files: another passwd, another /bin/sh, other tools.

All of it is in a mount namespace that ends with the node's server, so the machine itself never changes.
"""

import pwd
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

Shown = dict[Path, Path]
"""For each path, the file that is seen there."""

_TOOLS = (
    *("cat", "cut", "dd", "df", "env", "find", "getconf", "grep", "head", "id", "ls", "mkdir", "mkfifo", "mv", "rm"),
    *("seq", "setsid", "sleep", "tail", "tee", "touch", "tr", "uname", "wc"),
)


def missing() -> str | None:
    """Why a node cannot have files of its own here, None if it can."""
    if not shutil.which("unshare"):
        return "unshare is not installed"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "a private mount namespace is not permitted here"


def showing(files: Shown, command: Sequence[str]) -> list[str]:
    """The command, in a mount namespace of its own in which those files are seen; the same process in the end."""
    steps = [f"mount --bind {shlex.quote(str(file))} {shlex.quote(str(path))}" for path, file in files.items()]
    return ["unshare", "--mount", "sh", "-c", " && ".join([*steps, f"exec {shlex.join(command)}"])]


def account(root: Path, home: Path, shell: str, user: str) -> Shown:
    """That user with another home and login shell, in a copy of the passwd file below `root`."""
    entry = pwd.getpwnam(user)
    others = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith(f"{user}:")]
    copy = root / "passwd"
    copy.write_text("\n".join([f"{user}:x:{entry.pw_uid}:{entry.pw_gid}::{home}:{shell}", *others]) + "\n")
    return {Path("/etc/passwd"): copy}


def program(name: str) -> Path:
    """The file behind a program's name."""
    return Path(shutil.which(name) or name).resolve(strict=True)


def posix_shell(name: str) -> Shown:
    """That shell as /bin/sh; with busybox its tools as well, as on Alpine or OpenWrt."""
    shell = program(name)
    shown = {Path("/bin/sh").resolve(): shell}
    if name == "busybox":
        tools = {Path(found).resolve() for tool in _TOOLS if (found := shutil.which(tool))}
        applets = subprocess.run([shell, "--list"], capture_output=True, text=True, check=True).stdout.split()
        shown |= {tool: shell for tool in sorted(tools) if tool.name in applets}
    return {path: file for path, file in shown.items() if path != file}
