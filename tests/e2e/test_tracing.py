"""One trace from the request through the controller to the node and back, at a real collector."""

import subprocess
import sys

import pytest

from tests.e2e.conftest import MakeServer
from tests.support.collector import collecting
from tests.support.nodes import SshdNode
from tests.support.server import ROOT

pytestmark = pytest.mark.sshd

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_command_is_one_trace_from_its_caller_to_the_node(make_server: MakeServer, ssh_node: SshdNode) -> None:
    """C-11: caller → request → command → its phases, with the times of the timeline; probes leave no trace."""
    with collecting() as collector:
        server = make_server()
        server.environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        server.start()
        server.register("machine", ssh_node)
        server.http.headers["traceparent"] = f"00-{TRACE}-{CALLER}-01"
        done = server.send("machine", 'echo hello; echo "at $TRACEPARENT"; exit 3').json()
        own = server.send("machine", 'echo "$TRACEPARENT"', env={"TRACEPARENT": "its own"}).json()
        again = {"type": "exec", "action": "echo hello", "id": "mine"}
        first = server.http.post("/api/v1/nodes/machine/commands", json=again).json()
        assert server.http.post("/api/v1/nodes/machine/commands", json=again).json()["id"] == first["id"]
        spans = collector.until(lambda found: [span.name for span in found].count("command") == 3)
        moments = server.http.get(f"/api/v1/commands/{done['id']}/timeline").json()["phases"]
        assert server.stop() == 0

    whole = next(span for span in spans if span.status.message == "NonZeroExit")
    request = next(span for span in spans if span.span_id == whole.parent_span_id)
    assert request.name == "POST /api/v1/nodes/{id}/commands"
    parts = sorted(
        (span for span in spans if span.parent_span_id == whole.span_id), key=lambda s: s.start_time_unix_nano
    )
    assert {span.trace_id.hex() for span in (request, whole, *parts)} == {TRACE}
    assert request.parent_span_id.hex() == CALLER
    assert done["output"] == f"hello\nat 00-{TRACE}-{whole.span_id.hex()}-01"
    assert own["output"] == "its own"
    assert [part.name for part in parts] == [moment["phase"] for moment in moments[:-1]]
    assert {"connect", "claimed", "exit"} <= {part.name for part in parts}
    assert whole.start_time_unix_nano == parts[0].start_time_unix_nano
    assert whole.end_time_unix_nano == parts[-1].end_time_unix_nano
    assert not [span for span in spans if "readyz" in span.name]
    attributes = {a.key: a.value.string_value for a in whole.attributes}
    assert attributes["vendetta.node"] == "machine"
    assert "hello" not in str(spans)


def test_a_server_without_the_packages_says_what_to_install(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A start that would trace nothing silently is refused."""
    code = (
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None\n"
        "from api.tracing import ExtraMissing, open_tracing\n"
        "try: open_tracing({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:4318'}, '1')\n"
        "except ExtraMissing as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "pip install 'vendetta[otel]'" in done.stdout, done.stderr


def test_without_the_variable_nothing_is_loaded() -> None:
    """An extra that nobody uses costs nothing."""
    code = (
        "import sys; from api.tracing import open_tracing\n"
        "assert open_tracing({}, '1') is None\n"
        "assert open_tracing({'OTEL_EXPORTER_OTLP_ENDPOINT': 'x', 'OTEL_SDK_DISABLED': 'true'}, '1') is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
