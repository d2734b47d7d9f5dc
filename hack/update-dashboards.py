#!/usr/bin/env python3
"""Writes Grafana's dashboards in charts/vendetta/files/dashboards from the table below; `--check` only looks."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "charts/vendetta/files/dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 12, 8
RATE = "$__rate_interval"


@dataclass(frozen=True)
class Panel:
    """One graph: a title, a unit of Grafana's, and expressions by what their legend says."""

    title: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"


def rate(metric: str, by: str) -> str:
    """How fast a counter grows, by one label."""
    return f'sum by ({by}) (rate({metric}{{job=~"$job"}}[{RATE}]))'


def quantiles(metric: str, by: str = "") -> dict[str, str]:
    """The middle and the slowest hundredth of a histogram."""
    more, legend = (f", {by}", f" {{{{{by}}}}}") if by else ("", "")
    return {
        f"p{percent}{legend}": f"histogram_quantile(0.{percent}, "
        f'sum by (le{more}) (rate({metric}_bucket{{job=~"$job"}}[{RATE}])))'
        for percent in (50, 99)
    }


def total(metric: str, by: str = "") -> str:
    """A gauge of each server's own share, over all servers."""
    return f'sum by ({by}) ({metric}{{job=~"$job"}})' if by else f'sum({metric}{{job=~"$job"}})'


def one(metric: str, by: str = "instance") -> str:
    """A gauge of which each server has its own view; of the whole store, which all see, the greatest."""
    return f'max by ({by}) ({metric}{{job=~"$job"}})'


def whole(metric: str, by: str = "", *, where: str = "") -> str:
    """A gauge over the whole store, which every server says, summed up by one of its labels."""
    return f'sum{f" by ({by}) " if by else ""}(max by (job, status, provider) ({metric}{{job=~"$job"{where}}}))'


FLEET = (
    Panel("Nodes by status", "short", {"{{status}}": whole("vendetta_nodes", "status")}),
    Panel(
        "Unreachable",
        "percentunit",
        {
            "of all": whole("vendetta_nodes", where=', status="unreachable"')
            + " / ("
            + whole("vendetta_nodes")
            + " > 0)"
        },
    ),
    Panel("Probes", "ops", {"{{result}}": rate("vendetta_probes_total", "result")}),
    Panel("Connections open", "short", {"{{instance}}": one("vendetta_sessions")}),
    Panel("Attempts to connect", "ops", {"{{result}}": rate("vendetta_connects_total", "result")}),
    Panel("Time to connect and log in", "s", quantiles("vendetta_connect_duration_seconds", "transport")),
    Panel(
        "Host keys not trusted, credentials held back",
        "short",
        {
            "host keys in an hour": 'sum(increase(vendetta_host_key_mismatches_total{job=~"$job"}[1h]))',
            "credentials in an hour": 'sum(increase(vendetta_credential_rebinds_required_total{job=~"$job"}[1h]))',
        },
    ),
    Panel(
        "First certificate to expire",
        "s",
        {"{{kind}}": 'min by (kind) (vendetta_certificate_earliest_expiry_timestamp_seconds{job=~"$job"}) - time()'},
    ),
    Panel("Deliveries frozen", "bool_yes_no", {"{{instance}}": one("vendetta_deliveries_frozen")}, "stat"),
)
SERVICES = (
    Panel("Services by status", "short", {"{{status}}": one("vendetta_services_by_status", "status")}),
    Panel(
        "Nothing known any more, by whether the check or the node is missing",
        "short",
        {"{{reason}}": one("vendetta_services_stale", "reason")},
    ),
    Panel("Checks", "ops", {"{{kind}} {{result}}": rate("vendetta_service_checks_total", "kind, result")}),
    Panel("From when a check was due until it began", "s", quantiles("vendetta_service_check_lateness_seconds")),
    Panel(
        "Nodes looked at for services", "ops", {"{{result}}": rate("vendetta_service_discoveries_total", "result")}
    ),
)
COMMANDS = (
    Panel("Finished", "ops", {"{{status}}": rate("vendetta_commands_finished_total", "status")}),
    Panel(
        "Why they did not succeed",
        "ops",
        {
            "{{reason}}": "sum by (reason) (rate(vendetta_commands_finished_total"
            f'{{job=~"$job", status!="success"}}[{RATE}]))'
        },
    ),
    Panel("Stored, by status", "short", {"{{status}}": one("vendetta_commands", "status")}),
    Panel("The one that waits longest", "s", {"{{instance}}": one("vendetta_commands_oldest_pending_seconds")}),
    Panel("From accepted to claimed", "s", quantiles("vendetta_command_delivery_seconds")),
    Panel("On the node", "s", quantiles("vendetta_command_duration_seconds", "status")),
    Panel("Time in each phase", "s", quantiles("vendetta_command_phase_seconds", "phase")),
    Panel("Deliveries", "ops", {"{{result}}": rate("vendetta_deliveries_total", "result")}),
    Panel("Output collected", "Bps", {"{{instance}}": rate("vendetta_output_bytes_total", "instance")}),
)
CONTROLLER = (
    Panel("Reconciles", "ops", {"{{kind}} {{result}}": rate("vendetta_reconciles_total", "kind, result")}),
    Panel("Time of one reconcile", "s", quantiles("vendetta_reconcile_duration_seconds", "kind")),
    Panel("Nodes worked on", "short", {"{{instance}}": one("vendetta_replica_nodes")}),
    Panel(
        "Servers that share the nodes, as each sees it",
        "short",
        {"{{instance}}": one("vendetta_replica_live_members")},
    ),
    Panel("Handing nodes over", "s", quantiles("vendetta_replica_handover_seconds")),
    Panel("Keys waiting", "short", {"{{kind}}": total("vendetta_workqueue_depth", "kind")}),
    Panel(
        "Since a loop's last progress, of what it may take",
        "percentunit",
        {
            "{{loop}}": 'max by (loop) ((time() - vendetta_loop_last_success_timestamp_seconds{job=~"$job"})'
            " / on (job, instance, loop) vendetta_loop_limit_seconds)"
        },
    ),
    Panel("Folder of manifests: wanted", "short", {"objects": one("vendetta_manifest_objects", "job")}),
    Panel("Folder of manifests: without effect", "short", {"problems": one("vendetta_manifest_problems", "job")}),
    Panel("Folder of manifests: changes", "ops", {"{{change}}": rate("vendetta_manifest_changes_total", "change")}),
    Panel(
        "Configuration read",
        "dateTimeAsIso",
        {"{{instance}}": one("vendetta_config_last_reload_success_timestamp_seconds") + " * 1000"},
        "stat",
    ),
    Panel("CPU", "percentunit", {"{{instance}}": rate("process_cpu_seconds_total", "instance")}),
    Panel("Memory", "bytes", {"{{instance}}": one("process_resident_memory_bytes")}),
    Panel("Open files", "short", {"{{instance}}": one("process_open_fds")}),
)
STORE = (
    Panel("Time until a write is durable", "s", quantiles("vendetta_store_write_duration_seconds")),
    Panel("Writes", "ops", {"{{instance}}": rate("vendetta_store_write_duration_seconds_count", "instance")}),
    Panel("Writes that failed", "ops", {"{{instance}}": rate("vendetta_store_write_failures_total", "instance")}),
    Panel("Size on disk", "bytes", {"{{instance}}": one("vendetta_store_size_bytes")}),
    Panel("Revisions", "ops", {"a second": f'max(deriv(vendetta_store_revision{{job=~"$job"}}[{RATE}]))'}),
)
API = (
    Panel("Responses", "reqps", {"{{code}}": rate("vendetta_http_requests_total", "code")}),
    Panel(
        "Responses by route", "reqps", {"{{method}} {{route}}": rate("vendetta_http_requests_total", "method, route")}
    ),
    Panel("Time of a response", "s", quantiles("vendetta_http_request_duration_seconds")),
    Panel(
        "Slowest routes",
        "s",
        {
            "{{method}} {{route}}": "topk(10, histogram_quantile(0.99, sum by (le, method, route) "
            f'(rate(vendetta_http_request_duration_seconds_bucket{{job=~"$job"}}[{RATE}]))))'
        },
    ),
    Panel("Refused at the door", "reqps", {"{{code}}": rate("vendetta_auth_failures_total", "code")}),
    Panel("Event clients", "short", {"{{kind}}": total("vendetta_stream_clients", "kind")}),
    Panel("Event clients too slow", "ops", {"dropped": rate("vendetta_stream_clients_dropped_total", "instance")}),
)
DASHBOARDS = {
    "fleet": ("Fleet", FLEET),
    "services": ("Services", SERVICES),
    "commands": ("Commands", COMMANDS),
    "controller": ("Controller", CONTROLLER),
    "store": ("Store", STORE),
    "api": ("API", API),
}


def dashboard(name: str, title: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """What Grafana imports."""
    return {
        "uid": f"vendetta-{name}",
        "title": f"Vendetta / {title}",
        "tags": ["vendetta"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "1m",
        "links": [{"type": "dashboards", "tags": ["vendetta"], "title": "Vendetta", "asDropdown": True}],
        "templating": {"list": variables()},
        "panels": [drawn(number, panel) for number, panel in enumerate(panels)],
    }


def variables() -> list[dict[str, Any]]:
    """Which Prometheus, and which of its jobs."""
    query = "label_values(vendetta_build_info, job)"
    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
        {
            "name": "job",
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": query, "refId": "job"},
            "definition": query,
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".+",
            "label": "Job",
        },
    ]


def drawn(number: int, panel: Panel) -> dict[str, Any]:
    """A panel in its place: two in a row."""
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
        | ({"exemplar": True} if "histogram_quantile" in expr else {})
        for index, (legend, expr) in enumerate(panel.queries.items())
    ]
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def main() -> int:
    """Write, or look."""
    stale = False
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (title, panels) in DASHBOARDS.items():
        file = FOLDER / f"{name}.json"
        text = json.dumps(dashboard(name, title, panels), indent=1) + "\n"
        if file.exists() and file.read_text() == text:
            continue
        stale = True
        if "--check" in sys.argv[1:]:
            print(f"{file.name} is stale: run hack/update-dashboards.py", file=sys.stderr)
        else:
            file.write_text(text)
    return int(stale and "--check" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
