"""A real Prometheus beside a real server; every rule and dashboard against what the server exposes (D-4)."""

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.support.certificates import Certificate
from tests.support.helm import CHART
from tests.support.keys import KeyPair
from tests.support.nodes import Farm, find_program, free_port
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.sshd

RULES = CHART / "files/rules.yaml"
DASHBOARDS = sorted((CHART / "files/dashboards").glob("*.json"))
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}
NAME = re.compile(r"\b(?:vendetta|process|python)_[a-z0-9_]+\b(?!:)")
SELECTOR = re.compile(r"\b((?:vendetta|process)_[a-z0-9_]+)\{([^}]*)\}")
GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")
TARGETS_OWN = {"job", "instance"}
TOKEN = "t" * 64


def programs() -> list[str]:
    """What this takes."""
    found = {name: find_program(name) for name in ("prometheus", "sshd")}
    if missing := [name for name, path in found.items() if path is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return [str(path) for path in found.values()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, client_key: KeyPair) -> Iterator[Server]:
    """A server that has done something: two commands on one node, one of them in vain."""
    programs()
    farm = Farm(tmp_path_factory.mktemp("farm"), client_key)
    auth = {"enabled": True, "jwt_secret": "j" * 64}
    folder = tmp_path_factory.mktemp("server")
    (folder / "credentials/agent").mkdir(parents=True)
    certificate = Certificate.make(folder, "agent").path
    certificate.rename(folder / "credentials/agent/tls.crt")
    running = Server(folder, auth=auth, server={"auth_token": TOKEN}, sources={"manifests": str(folder / "nodes")})
    running.http.headers["Authorization"] = f"Bearer {TOKEN}"
    running.start()
    running.register("machine", asyncio.run(farm.sshd()))
    services = {
        "server": {"type": "metrics", "status": "running", "port": running.port},
        "other": {"type": "web", "status": "running", "port": 9},
    }
    change = {"services": services, "labels": {"example.com/tier": "front"}}
    assert running.http.put("/api/v1/nodes/machine", json=change).status_code == 200
    for action in ("true", "false"):
        running.send("machine", action)
    yield running
    running.close()
    farm.close()


@pytest.fixture(scope="module")
def prometheus(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A Prometheus that scrapes it by every path, with the rules loaded."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    (folder / "token").write_text(TOKEN)
    common = {"static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}]}
    token = {"authorization": {"credentials_file": str(folder / "token")}}
    jobs: list[dict[str, Any]] = [
        {"job_name": "default", **token},
        {"job_name": "alias", "metrics_path": "/metrics/prometheus", **token},
        {"job_name": "text", "params": {"format": ["prometheus"]}, **token},
        {"job_name": "stranger"},
    ]
    discovery = {"url": f"{server.url}/api/v1/sd/prometheus?type=metrics&healthy=true", "refresh_interval": "1s"}
    discovered = {
        "job_name": "discovered",
        # Before version 2.43 this part of Prometheus does not know what kind of token it is unless told.
        "http_sd_configs": [discovery | {"authorization": {"type": "Bearer", **token["authorization"]}}],
        "relabel_configs": [
            {"source_labels": [f"__meta_vendetta_{label}"], "target_label": label}
            for label in ("node", "service", "node_label_example_com_tier")
        ],
    }
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [*(job | common for job in jobs), discovered | token],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    line = [programs()[0], f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*line, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client
    process.terminate()
    process.wait(20)


def targets(prometheus: httpx2.Client) -> dict[str, tuple[str, str]]:
    """Each job's health and last error, once all have been scraped."""
    deadline = time.monotonic() + 30
    while True:
        try:
            active = prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
        except (httpx2.TransportError, ValueError, KeyError):
            active = []
        if active and all(target["health"] != "unknown" for target in active):
            return {target["labels"]["job"]: (target["health"], target["lastError"]) for target in active}
        assert time.monotonic() < deadline, active
        time.sleep(0.1)


def value(prometheus: httpx2.Client, query: str, seconds: float = 30) -> float:
    """What a query gives, once it gives something."""
    deadline = time.monotonic() + seconds
    while not (result := prometheus.get("/api/v1/query", params={"query": query}).json()["data"]["result"]):
        assert time.monotonic() < deadline, query
        time.sleep(0.1)
    return float(result[0]["value"][1])


def test_prometheus_scrapes_it_by_every_path_and_only_with_a_token(server: Server, prometheus: httpx2.Client) -> None:
    """D-4: the default path with Prometheus' own Accept (OpenMetrics), as text, the alias; 401 without a token."""
    found = targets(prometheus)
    assert [found[job] for job in ("default", "text", "alias")] == [("up", "")] * 3
    assert found["stranger"][0] == "down"
    assert "401" in found["stranger"][1]
    assert value(prometheus, 'vendetta_commands{job="default", status="success"}') == 1
    assert value(prometheus, 'vendetta:nodes:sum{job="default"}') == 1


def test_prometheus_scrapes_the_services_that_it_is_told_of(prometheus: httpx2.Client) -> None:
    """D-5: HTTP service discovery, by a real Prometheus."""
    labels = 'job="discovered", node="machine", service="server", node_label_example_com_tier="front"'
    assert value(prometheus, f"up{{{labels}}}") == 1
    assert value(prometheus, f'vendetta_commands{{{labels}, status="success"}}') == 1


def test_the_rules_are_loaded_and_none_has_an_error(prometheus: httpx2.Client) -> None:
    """D-4: evaluated by a real Prometheus on real series."""
    targets(prometheus)
    value(prometheus, "vendetta:nodes:sum")
    groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(expressions_of_rules())
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda p: p.stem)
def test_prometheus_understands_every_dashboard(dashboard: Path, prometheus: httpx2.Client) -> None:
    """D-4: with the variables filled in as Grafana does."""
    targets(prometheus)
    for expression in expressions_of(dashboard):
        query = expression.replace("$job", ".+").replace("$__rate_interval", "1m")
        answer = prometheus.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", (query, answer)


def exposed(server: Server) -> dict[str, Metric]:
    """The server's metric families by the names of their samples."""
    families: dict[str, Metric] = {}
    for family in parse_text(server.http.get("/metrics/prometheus").text):
        kinds = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        for ending in kinds.get(family.type, ("",)):
            families[family.name + ending] = family
    return families


def expressions_of(dashboard: Path) -> list[str]:
    """Everything that it asks."""
    panels = json.loads(dashboard.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def expressions_of_rules() -> list[str]:
    """Everything that rules and alerts ask."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("source", [RULES, *DASHBOARDS], ids=lambda p: p.stem)
def test_every_expression_is_about_metrics_and_labels_that_exist(source: Path, server: Server) -> None:
    """D-4: a metric that was renamed would leave an alert that never fires, and a graph that stays empty."""
    families = exposed(server)
    for expression in expressions_of_rules() if source == RULES else expressions_of(source):
        unknown = set(NAME.findall(expression)) - families.keys()
        assert not unknown, expression
        for name, selector in SELECTOR.findall(expression):
            asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert asked <= labels_of(families[name]) | TARGETS_OWN, expression
        grouped = {label.strip() for labels in GROUPED.findall(expression) for label in labels.split(",")}
        known = {label for name in NAME.findall(expression) for label in labels_of(families[name])}
        if "vendetta:" not in expression:
            assert grouped <= known | TARGETS_OWN, expression


def labels_of(family: Metric) -> set[str]:
    """The labels of its samples; where it has none yet, those that it would have are not known."""
    if not family.samples:
        pytest.fail(f"{family.name} has no samples: have the server do what is counted there")
    return {label for sample in family.samples for label in sample.labels}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """Whoever is woken finds what to do."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
    pages = {page.name: page for page in (ROOT / "docs/runbooks").glob("*.md")}
    assert {f"{name.lower()}.md" for name in alerts} == pages.keys()
    for name, alert in alerts.items():
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{name.lower()}.md"
        assert pages[f"{name.lower()}.md"].read_text().startswith(f"# {name}\n")


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    """promtool runs those tests (hack/chart.sh); here none may be missing."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    cases = [
        case
        for file in (CHART / "tests/promtool").glob("*.yaml")
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_histograms_of_commands_have_exemplars_in_openmetrics_only(server: Server) -> None:
    """D-4: which command it was, without a series of its own."""
    text = server.http.get("/metrics", headers=OPENMETRICS).text
    families = {family.name: family for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
    exemplars = [s.exemplar for s in families["vendetta_command_duration_seconds"].samples if s.exemplar]
    uids = {c["metadata"]["uid"] for c in server.http.get("/apis/vendetta.dev/v1/commands").json()["items"]}
    assert {exemplar.labels["uid"] for exemplar in exemplars} <= uids
    assert exemplars
    assert "# {" not in server.http.get("/metrics/prometheus").text
