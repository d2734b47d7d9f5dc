"""A throw-away SSH node on loopback, for demonstrations: a real sshd where there is one, else asyncssh and a shell.

It lives in the folder that it is given (home, host key, log) and dies with its process.

    python hack/throwaway_node.py --dir /tmp/node --port 2222 --authorized-key /tmp/key.pub
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import asyncssh

ADDRESS = "127.0.0.1"


def main() -> None:
    """Serve until ended by a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--authorized-key", type=Path, required=True)
    parser.add_argument("--without-sshd", action="store_true", help="as on a machine that has none")
    arguments = parser.parse_args()
    home = arguments.dir / "home"
    home.mkdir(parents=True, exist_ok=True)
    host_key = arguments.dir / "host_key"
    host_key.touch(mode=0o600)
    host_key.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if sshd and not arguments.without_sshd:
        serve_with_sshd(sshd, arguments, home, host_key)
    else:
        asyncio.run(serve_with_asyncssh(arguments, home, host_key))


def serve_with_sshd(sshd: str, arguments: argparse.Namespace, home: Path, host_key: Path) -> None:
    """Become sshd, in the foreground, for the user who runs this."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    lines = [
        f"ListenAddress {ADDRESS}:{arguments.port}",
        f"HostKey {host_key}",
        f"AuthorizedKeysFile {arguments.authorized_key}",
        f"SetEnv HOME={home} SHLVL=1",
        "PidFile none",
        "PasswordAuthentication no",
        "PermitRootLogin prohibit-password",
        "StrictModes no",
        "UsePAM no",
    ]
    config = arguments.dir / "sshd_config"
    config.write_text("\n".join(lines) + "\n")
    os.execv(sshd, [sshd, "-D", "-e", "-f", str(config)])


async def copy(source: Any, sink: Any) -> None:
    """Everything from one stream into another. Not its end: a channel has one end for both of its outputs."""
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()


async def feed(source: Any, sink: asyncio.StreamWriter) -> None:
    """Everything from the channel into a program, and then the end."""
    await copy(source, sink)
    sink.close()


async def serve_with_asyncssh(arguments: argparse.Namespace, home: Path, host_key: Path) -> None:
    """Run each command with /bin/sh, its streams joined to the channel."""

    async def run(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            process.command or ":",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"HOME": str(home), "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            cwd=home,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        feeding = asyncio.create_task(feed(process.stdin, child.stdin))
        await asyncio.gather(copy(child.stdout, process.stdout), copy(child.stderr, process.stderr))
        feeding.cancel()
        process.exit(await child.wait())

    server = await asyncssh.listen(
        ADDRESS,
        arguments.port,
        server_host_keys=[str(host_key)],
        authorized_client_keys=str(arguments.authorized_key),
        process_factory=run,
        encoding=None,
    )
    await server.wait_closed()


if __name__ == "__main__":
    main()
