"""What is executed on a node is constant and plain."""

import pytest

from transports.runner.loader import command
from transports.runner.node import bulk, perl, runner


def test_the_command_holds_nothing_a_login_shell_would_change() -> None:
    text = command("/bin/sh")
    head, quoted, tail = text.split("'")
    assert (head, tail) == ("exec /bin/sh -c ", " vendetta")
    assert not set(quoted) & set("'\\!`\n")


@pytest.mark.parametrize("shell", ["sh", "/bin/sh -x", "/bin/$(x)", "/bin/sh;", "", "/bin/sh\n"])
def test_a_shell_is_an_absolute_plain_path(shell: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        command(shell)


def test_programs_are_one_ascii_line_and_named_by_their_contents() -> None:
    assert len(runner().sha) == 12
    assert runner().sha != bulk().sha
    for program in (runner(), bulk()):
        assert program.line.count(b"\n") == 1
        assert program.line.endswith(b"\n")
        assert b"\\0012" in program.line


def test_perl_is_one_ascii_line_of_the_length_that_the_shell_is_told() -> None:
    line = perl().plain_line
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line.replace(b"\x1f", b"\n") == perl().text.encode("ascii") + b"\n"
