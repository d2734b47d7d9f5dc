"""The script that asks a service from its own node, in several shells and with several tools (contract D-2)."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec
from controller.resources.service import Check, Service
from controller.services.fromnode import script_for
from tests.integration.services.test_checks import _hang_up, serving
from transports.checks import Place

SHELLS = ["dash", "busybox ash", "bash --posix"]
TOOLS = {
    "curl": ("curl",),
    "perl": ("perl",),
    "busybox": (),
}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    words = str(request.param).split()
    path = shutil.which(words[0])
    if path is None:
        pytest.skip(f"{words[0]} is not installed")
    return [path, *words[1:]]


@pytest.fixture(params=list(TOOLS))
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A PATH with busybox's tools, and one more."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    subprocess.run([busybox, "--install", "-s", str(tmp_path)], check=True)
    for name in TOOLS[str(request.param)]:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed")
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).symlink_to(path)
    return tmp_path


async def ask(shell: list[str], tools: Path, place: Place, **check: object) -> tuple[int, str]:
    """Exit code and what was printed."""
    spec = Check.model_validate({"via": "node", "timeout": "2s", **check})
    endpoint = f"[{place.address}]:{place.port}" if ":" in place.address else None
    service = Service(id="web", port=place.port, endpoint=endpoint, check=spec)
    text = script_for(Node(metadata=ObjectMeta(name="n1"), spec=NodeSpec(services=(service,))), service, spec)
    process = await asyncio.create_subprocess_exec(
        *shell, "-s", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": str(tools)}
    )
    out, _ = await asyncio.wait_for(process.communicate(text), 10)
    assert process.returncode is not None
    return process.returncode, out.decode().strip()


async def test_a_service_that_only_speaks_ipv6_is_not_said_to_be_bad(shell: list[str], tools: Path) -> None:
    """It answers; or the node has nothing to ask it with, and nothing is known."""
    async with serving(OK, on="::1") as place:
        http, tcp = await ask(shell, tools, place, http={}), await ask(shell, tools, place, tcp=True)
    assert http in [(0, "204"), (69, "")]
    assert tcp in [(0, "open"), (69, "")]


OK = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def test_it_prints_the_status_and_sends_what_it_was_told(shell: list[str], tools: Path) -> None:
    seen: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        writer.close()

    http = {"path": "/a%2F$(id)`id`'\\n?x=1", "headers": {"X-Odd": "it's %s \\t $HOME"}}
    async with serving(note) as place:
        assert await ask(shell, tools, place, http=http) == (0, "204")
    lines = seen[0].decode().split("\r\n")
    assert lines[0].rsplit(" ", 1)[0] == "GET /a%2F$(id)`id`'\\n?x=1"
    assert "X-Odd: it's %s \\t $HOME" in lines
    assert f"Host: localhost:{place.port}" in lines


async def test_what_speaks_no_http_and_what_is_not_there_is_no_answer(shell: list[str], tools: Path) -> None:
    async with serving(b"SSH-2.0-OpenSSH_9.2\r\n") as place:
        code, said = await ask(shell, tools, place, http={})
        assert code != 0 or said == "000", said
    code, said = await ask(shell, tools, place, http={})
    assert (code, said) in {(1, ""), (1, "000")}


async def test_it_knows_whether_something_listens_on_a_port(shell: list[str], tools: Path) -> None:
    async with serving(_hang_up) as place:
        assert await ask(shell, tools, place, tcp=True) == (0, "open")
    assert await ask(shell, tools, place, tcp=True) == (1, "")
