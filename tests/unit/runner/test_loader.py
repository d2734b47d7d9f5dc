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


def test_programs_are_ascii_without_a_line_break_and_named_by_their_contents() -> None:
    assert len(runner().sha) == 12
    assert runner().sha != bulk().sha
    for program in (runner(), bulk()):
        assert program.encoded.isascii()
        assert b"\n" not in program.encoded, "a shell's $(dd) would drop it at the end of a block"
        assert b"\\0012" in program.encoded


def test_perl_is_ascii_without_a_line_break() -> None:
    assert b"\n" not in perl().plain
    assert perl().plain.replace(b"\x1f", b"\n") == perl().text.encode("ascii")
