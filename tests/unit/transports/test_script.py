"""What a command asks for is what runs, in every shell that a node may have as its `sh` (contract C-2)."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transports.script import Script, ScriptInvalid, compose

SHELLS = {
    "dash": ["dash"],
    "busybox": ["busybox", "sh"],
    "bash": ["bash", "--posix"],
    "mksh": ["mksh"],
    "yash": ["yash"],
}
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@pytest.fixture(params=SHELLS)
def sh(request: pytest.FixtureRequest) -> list[str]:
    """A node's `sh`."""
    command = SHELLS[request.param]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    return command


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home with space"
    folder.mkdir()
    return folder


def execute(
    made: Script, sh: Sequence[str], home: Path | str = "/", *, piped: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """Run a script as a node does: as a file, in the login's home, its input a file or a pipe."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryFile() as stdin:
        file.write(made.script)
        file.flush()
        if piped:
            return subprocess.run(
                [*sh, file.name], input=made.stdin, capture_output=True, cwd=home, env=environment, check=False
            )
        stdin.write(made.stdin)
        stdin.seek(0)
        return subprocess.run(
            [*sh, file.name], stdin=stdin, capture_output=True, cwd=home, env=environment, check=False
        )


def output(made: Script, sh: Sequence[str], home: Path | str = "/") -> str:
    done = execute(made, sh, home)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_a_plain_action_is_the_script_itself() -> None:
    assert compose(action="uptime") == Script(script=b"uptime\n", stdin=b"")


def test_an_action_keeps_its_line_numbers_but_for_one() -> None:
    made = compose(action="one\ntwo\n", env={"A": "x\ny\n", "B": "z"}, cwd="/a\nb")
    assert made.script.decode().split("\n")[1:] == ["one", "two", ""]


def test_the_exit_code_is_the_actions(sh: list[str]) -> None:
    assert execute(compose(action="exit 3", env={"A": "b"}), sh).returncode == 3


def test_standard_input_reaches_the_action(sh: list[str]) -> None:
    done = execute(compose(action="cat", stdin=b"\0\xff\n\n"), sh)
    assert done.stdout == b"\0\xff\n\n"


@pytest.mark.parametrize(
    "value", ["", " ", "a'b", '"$HOME"', "`id`$(id)", "~", "x\n", "\n\n", "-n", "é\x7f\\", "a;b&c|d"]
)
def test_an_environment_value_arrives_as_it_is(sh: list[str], value: str) -> None:
    made = compose(action='printf %s "$VALUE"; sh -c \'printf %s "$VALUE"\'; printf %s $#', env={"VALUE": value})
    assert output(made, sh) == value * 2 + "0"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=TEXT, second=TEXT, argument=TEXT)
def test_any_text_survives_as_environment_and_argument(first: str, second: str, argument: str) -> None:
    made = compose(
        argv=["sh", "-c", 'printf "%s|%s|%s" "$A" "$B" "$1"', "x", argument], env={"A": first, "B": second}
    )
    assert output(made, ["sh"]) == f"{first}|{second}|{argument}"


def test_the_new_path_is_where_a_program_is_looked_for(sh: list[str], tmp_path: Path) -> None:
    program = tmp_path / "only-here"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    assert output(compose(argv=["only-here"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}), sh) == "found\n"


@pytest.mark.parametrize(
    ("cwd", "expected"),
    [("~", ""), ("~/sub dir", "/sub dir"), ("sub dir", "/sub dir"), ("-", "/-"), ("$x", "/$x"), ("a\nb", "/a\nb")],
)
def test_a_working_directory_is_taken_literally(sh: list[str], home: Path, cwd: str, expected: str) -> None:
    for name in ("sub dir", "-", "$x", "a\nb"):
        (home / name).mkdir()
    assert output(compose(action="pwd", cwd=cwd, env={"CDPATH": "/usr"}), sh, home) == f"{home}{expected}\n"


def test_a_working_directory_that_cannot_be_entered_ends_the_run_with_126(sh: list[str]) -> None:
    done = execute(compose(action="echo ran", cwd="/no/such 'place"), sh)
    assert (done.returncode, done.stdout) == (126, b"")
    assert b"vendetta: cannot enter the working directory /no/such 'place\n" in done.stderr


def test_a_program_that_is_missing_ends_the_run_with_127(sh: list[str]) -> None:
    assert execute(compose(argv=["no-such-program"]), sh).returncode == 127


def test_argv_passes_through_no_shell(sh: list[str]) -> None:
    arguments = ["a b", "$HOME", "*", "", "'", '"', "\\", "x\ny", "-n", ";"]
    assert output(compose(argv=["printf", "<%s>", *arguments]), sh) == "".join(f"<{a}>" for a in arguments)


@pytest.mark.parametrize("shell", ["bash", "/bin/sh", "zsh", "mksh", "yash", "/bin/bash"])
def test_another_shell_runs_the_action(sh: list[str], home: Path, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    made = compose(
        action='printf "%s|%s|" "$A" "$PWD"; readlink /proc/$$/exe; cat',
        env={"A": "x\n'y"},
        cwd="~",
        stdin=b"rest\xff\n",
        shell=shell,
    )
    for piped in (True, False):
        done = execute(made, sh, home, piped=piped)
        front, _, back = done.stdout.partition(b"|")
        assert front == b"x\n'y", done.stderr
        directory, _, rest = back.partition(b"|")
        assert directory == os.fsencode(home)
        executable, _, rest = rest.partition(b"\n")
        assert executable.decode() == os.path.realpath(shutil.which(shell) or "")
        assert rest == b"rest\xff\n"


@pytest.mark.parametrize(
    "action",
    ["echo a\\\n", "cat <<E\nhere\nE", "cat <<E\nhere\nE\n\n\n", "echo 'Ä ö'\n# done", "if true; then\n echo x\nfi"],
)
def test_a_loaded_action_is_not_altered_at_its_end(sh: list[str], action: str) -> None:
    assert output(compose(action=action, shell="/bin/sh"), sh) == output(compose(action=action), sh)


def test_a_loaded_script_runs_whole_or_not_at_all(sh: list[str]) -> None:
    made = compose(action="echo one\necho two", shell="/bin/sh")
    for size in range(len(made.stdin)):
        done = execute(Script(script=made.script, stdin=made.stdin[:size]), sh)
        assert (done.returncode, done.stdout) == (126, b"")


def test_a_loaded_script_of_many_bytes_leaves_the_rest_of_a_pipe_alone(sh: list[str]) -> None:
    action = "#" + "é" * 20_000 + "\nwc -c"
    made = compose(action=action, shell="/bin/sh", stdin=b"x" * 300_000)
    assert execute(made, sh, piped=True).stdout.strip() == b"300000"


def test_no_text_of_the_user_is_in_a_loaders_command_line() -> None:
    made = compose(action="echo s3cret", env={"TOKEN": "s3cret"}, cwd="/s3cret", run_as="app", shell="bash")
    assert b"s3cret" not in made.script
    assert made.script.count(b"\n") == 1


@pytest.fixture(scope="module")
def other_user() -> str:
    if not shutil.which("sudo"):
        pytest.skip("sudo is not installed")
    if subprocess.run(["sudo", "-n", "-u", "nobody", "true"], capture_output=True, check=False).returncode:
        pytest.skip("sudo permits nothing here")
    return "nobody"


def test_another_user_runs_the_action(sh: list[str], other_user: str, home: Path) -> None:
    home.parent.chmod(0o700)
    made = compose(action='id -un; pwd; printf "%s|" "$A"; cat', env={"A": "x\ny"}, stdin=b"rest", run_as=other_user)
    lines = output(made, sh, home).split("\n", 2)
    assert lines == [other_user, "/", "x\ny|rest"]


def test_another_user_runs_an_argv_in_the_directory_asked_for(sh: list[str], other_user: str) -> None:
    made = compose(argv=["sh", "-c", "id -un; pwd"], cwd="/usr", run_as=other_user, shell="/bin/bash")
    assert output(made, sh) == f"{other_user}\n/usr\n"


def test_an_unknown_user_fails_without_running_anything(sh: list[str], other_user: str) -> None:
    done = execute(compose(action="echo ran", run_as="no-such-user"), sh)
    assert done.returncode != 0
    assert done.stdout == b""


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"argv": []},
        {"argv": [""]},
        {"argv": ["-x"]},
        {"argv": ["echo", "a\0b"]},
        {"action": "a\0b"},
        {"action": "\ud800"},
        {"action": "x", "env": {"1A": "b"}},
        {"action": "x", "env": {"A B": "b"}},
        {"action": "x", "env": {"A\n": "b"}},
        {"action": "x", "env": {"A": "s3cret\0"}},
        {"action": "x", "env": {"VENDETTA_RUN": "b"}},
        {"action": "x", "cwd": "a\0b"},
        {"action": "x", "shell": "/usr/bin/fish"},
        {"action": "x", "shell": ""},
        {"action": "x", "shell": "-c"},
        {"action": "x", "run_as": ""},
        {"action": "x", "run_as": "-u"},
        {"action": "x", "run_as": "a b"},
    ],
)
def test_what_cannot_be_expressed_is_refused_without_repeating_secrets(asked: dict[str, object]) -> None:
    with pytest.raises(ScriptInvalid) as refused:
        compose(**asked)  # type: ignore[arg-type]
    assert "s3cret" not in str(refused.value)
