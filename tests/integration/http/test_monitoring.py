"""Health, probes and metrics over the wire (contract D-3, D-4)."""

import shutil
import subprocess
from collections.abc import Iterator

import httpx2
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.support.live import SSE, Live, serve

SCRAPER = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serve() as running:
        running.add_node("a", provider="docker")
        running.add_node("b", provider="docker", unschedulable=True)
        running.add_node("c", provider="lxc")
        yield running


def test_health_is_as_documented(live: Live) -> None:
    """D-3: and says that auth is off."""
    answer = httpx2.get(f"{live.url}/health")
    content = answer.json()
    assert answer.status_code == 200
    assert content["status"] == "healthy"
    assert (content["total_nodes"], content["version"], content["auth"]) == (3, "1.2.3", "disabled")
    assert content["active_nodes"] == 0
    assert content["timestamp"].endswith("Z")


def test_a_stuck_loop_makes_it_unhealthy(live: Live) -> None:
    """D-3: 503, for probes, too; dead nodes alone do not."""
    live.loops.names = ["probe"]
    try:
        answer = httpx2.get(f"{live.url}/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
        assert "probe" in answer.json()["problems"][0]
        assert httpx2.get(f"{live.url}/livez").status_code == 503
        assert httpx2.get(f"{live.url}/readyz").status_code == 503
    finally:
        live.loops.names = []
    assert httpx2.get(f"{live.url}/readyz").text == "ok"


def test_a_server_without_a_place_lives_and_gets_no_requests(live: Live) -> None:
    """D-3: it can change nothing, joins the others on the store again by itself, and need not be restarted."""
    live.loops.has_place = False
    try:
        assert httpx2.get(f"{live.url}/livez").status_code == 200
        assert httpx2.get(f"{live.url}/readyz").status_code == 503
        assert "no place" in httpx2.get(f"{live.url}/readyz").text
    finally:
        live.loops.has_place = True


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html,application/xhtml+xml,*/*;q=0.8"])
def test_metrics_are_json_unless_asked_otherwise(live: Live, accept: str | None) -> None:
    """D-4: for */*, JSON, browsers and no Accept."""
    headers = {"Accept": accept} if accept is not None else {}
    request = httpx2.Request("GET", f"{live.url}/metrics", headers=headers)
    if accept is None:
        request.headers.pop("Accept", None)
    with httpx2.Client() as client:
        answer = client.send(request)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["vary"] == "Accept"
    content = answer.json()
    assert content["nodes"]["total"] == 3
    assert content["nodes"]["by_provider"] == {"docker": 2, "lxc": 1}
    assert content["nodes"]["by_status"]["inactive"] == 1
    assert content["services"] == {"total": 0}
    assert content["websocket"] == {"connected_clients": 0}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (SCRAPER, "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=9.9.9", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=nonsense", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_prometheus_gets_the_exact_content_type(live: Live, accept: str, content_type: str) -> None:
    """D-4: Prometheus 3 fails a scrape over a wrong one."""
    answer = httpx2.get(f"{live.url}/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"] == content_type
    assert answer.headers["vary"] == "Accept"


def test_the_alias_and_the_parameter_do_the_same(live: Live) -> None:
    """D-4: /metrics/prometheus, ?format=."""
    for target in ("/metrics/prometheus", "/metrics?format=prometheus"):
        answer = httpx2.get(live.url + target)
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'vendetta_nodes{provider="docker",status="inactive"} 1.0' in answer.text
    asked = httpx2.get(f"{live.url}/metrics?format=json", headers={"Accept": "text/plain"})
    assert asked.headers["content-type"] == "application/json"
    assert httpx2.get(f"{live.url}/metrics?format=xml").status_code == 400


def test_both_formats_parse_and_count_requests_by_template(live: Live) -> None:
    """D-4: no label names a node, a path or a user."""
    httpx2.get(f"{live.url}/api/v1/nodes/a")
    httpx2.get(f"{live.url}/api/v1/nodes/secret-name")
    text = httpx2.get(f"{live.url}/metrics/prometheus").text
    families = {family.name: family for family in parse_text(text)}
    routes = {s.labels["route"] for s in families["vendetta_http_requests"].samples}
    assert "/api/v1/nodes/{id}" in routes
    assert "secret-name" not in text
    opened = httpx2.get(f"{live.url}/metrics", headers={"Accept": "application/openmetrics-text"}).text
    assert opened.endswith("# EOF\n")
    names = {family.name for family in parse_openmetrics(opened)}  # type: ignore[no-untyped-call]
    assert names >= {"vendetta_http_requests", "vendetta_nodes", "process_cpu_seconds"}


def test_connected_clients_are_those_of_the_stream(live: Live) -> None:
    """D-4: SSE and WebSocket."""
    assert live.has_clients(0)
    with SSE(live.port) as client:
        client.event()
        assert httpx2.get(f"{live.url}/metrics").json()["websocket"] == {"connected_clients": 1}


def test_the_providers_label_is_bounded() -> None:
    """D-4: the text is the clients' own; beyond the 20 most common ones it is `other`."""
    with serve() as live:
        for n in range(60):
            live.add_node(f"n-{n}", provider=f"provider-{n}")
        text = httpx2.get(f"{live.url}/metrics/prometheus").text
        lines = [line for line in text.splitlines() if line.startswith("vendetta_nodes{")]
        assert len(lines) == 21
        assert 'vendetta_nodes{provider="other",status="unknown"} 40.0' in lines


def test_a_large_fleet_has_no_more_series_than_a_small_one() -> None:
    """D-4: no label names a node, nor does a route."""

    def series(live: Live, *nodes: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        live.add_nodes(*nodes)
        for name in nodes[-3:]:
            httpx2.get(f"{live.url}/api/v1/nodes/{name}").raise_for_status()
        families = parse_text(httpx2.get(f"{live.url}/metrics/prometheus").text)
        return {(s.name, frozenset(s.labels.items())) for family in families for s in family.samples}

    with serve() as live:
        series(live, "first")
        few = series(live, "a", "b", "c")
        assert series(live, *(f"node-{n}" for n in range(2000))) == few


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_complain_about(live: Live) -> None:
    """D-4: names, units and help as Prometheus wants them."""
    text = httpx2.get(f"{live.url}/metrics/prometheus").text
    found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/health", "/api/v1/nodes"])
def test_no_header_is_told_twice(live: Live, path: str) -> None:
    """B-10: two of a kind are one too many, even where they agree."""
    names = [name.lower() for name, _ in httpx2.get(live.url + path).headers.multi_items()]
    assert len(set(names)) == len(names)
