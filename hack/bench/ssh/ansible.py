"""`ansible` with the raw module, ControlPersist and pipelining: a play of raw tasks, strategy free, ten forks.

A play with one task is taken off a play with all of them, so that neither its start nor its connects count. Runs in
the peers' environment. The ControlPersist masters detach themselves, and their CPU is
not counted, in its favour.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from hack.bench.ssh.work import Job, Result, done, job, metered


def prepare(asked: Job) -> Path:
    folder = Path(asked.folder)
    folder.mkdir()
    hosts = [
        f"n{i} ansible_host={t.address} ansible_port={t.port} ansible_user={t.user} "
        f"ansible_ssh_private_key_file={t.key}"
        for i, t in enumerate(asked.targets)
    ]
    (folder / "inventory").write_text("\n".join(["[all]", *hosts, ""]))
    known = [f"[{t.address}]:{t.port} {t.host_key}\n" for t in asked.targets]
    (folder / "known_hosts").write_text("".join(known))
    (folder / "ansible.cfg").write_text(
        "[defaults]\nforks = 10\nstdout_callback = oneline\ngathering = explicit\nretry_files_enabled = false\n"
        "deprecation_warnings = false\n"
        "[ssh_connection]\npipelining = true\n"
        f"control_path_dir = {folder}/cp\ncontrol_path = %(directory)s/%%p\n"
        f"ssh_args = -F none -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={folder}/known_hosts"
        " -c aes128-gcm@openssh.com\n"
    )
    return folder


def play(folder: Path, tokens: list[str]) -> str:
    tasks = "".join(f"    - raw: echo {token}\n" for token in tokens)
    file = folder / f"play-{len(tokens)}.yml"
    file.write_text(f"- hosts: all\n  gather_facts: false\n  strategy: free\n  tasks:\n{tasks}")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "home")}
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", str(folder / "inventory"), str(file)]
    return subprocess.run(command, env=environment, stdout=-1, text=True, check=True).stdout


def check(asked: Job, printed: str, tokens: list[str]) -> None:
    found = re.findall(r"^(n\d+) \| CHANGED \| rc=0 \| \(stdout\) (hi-\d+)", printed, re.MULTILINE)
    assert sorted(found) == sorted((f"n{i}", token) for i in range(len(asked.targets)) for token in tokens), printed


def rate(asked: Job) -> Result:
    folder = prepare(asked)
    one, many = Result(), Result()
    first, rest = ["hi-0"], asked.tokens
    try:
        check(asked, play(folder, first), first)
        with metered(one, len(asked.targets)):
            check(asked, play(folder, first), first)
        with metered(many, len(asked.targets) * len(rest)):
            check(asked, play(folder, rest), rest)
    finally:
        for control in (folder / "cp").iterdir():
            subprocess.run(["ssh", "-F", "none", "-S", control, "-O", "exit", "x"], check=False, capture_output=True)
    return Result(count=many.count - one.count, seconds=many.seconds - one.seconds, cpu=max(0.0, many.cpu - one.cpu))


if __name__ == "__main__":
    done(rate(job()))
