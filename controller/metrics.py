"""What the controller counts, in Prometheus' terms. No label names a node, a command, a path or a user."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controller.histogram import Phases
from controller.timeline import LAST, Phase

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PHASE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 21600.0)
_LONG = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600, 21600)


class Metrics:
    """The collectors, on a registry of their own."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self.commands_finished = Counter(
            "vendetta_commands_finished", "Commands that reached a final status.", ["status", "reason"], registry=r
        )
        self.command_duration = Histogram(
            "vendetta_command_duration_seconds", "Execution time on the node.", ["status"], buckets=_LONG, registry=r
        )
        self.command_delivery = Histogram(
            "vendetta_command_delivery_seconds", "From accepted to claimed on the node.", buckets=_FAST, registry=r
        )
        self.command_phases = Phases(
            "vendetta_command_phase_seconds",
            "Time that a command spent in each phase of its timeline, counted when it ends.",
            [phase for phase in Phase if phase not in LAST],
            _PHASE,
        )
        r.register(self.command_phases)
        self.deliveries = Counter(
            "vendetta_deliveries", "Attempts to hand a command to its node.", ["transport", "result"], registry=r
        )
        self.output_bytes = Counter("vendetta_output_bytes", "Command output collected.", registry=r)
        self.connects = Counter(
            "vendetta_connects", "Attempts to connect to a node.", ["transport", "result"], registry=r
        )
        self.connect_duration = Histogram(
            "vendetta_connect_duration_seconds",
            "Time to connect and log in.",
            ["transport"],
            buckets=_FAST,
            registry=r,
        )
        self.sessions = Gauge("vendetta_sessions", "Connections to nodes that are open.", registry=r)
        self.agents = Gauge("vendetta_agents", "Agents that have dialled in.", registry=r)
        self.probes = Counter("vendetta_probes", "Probes of nodes.", ["result"], registry=r)
        self.checks = Counter(
            "vendetta_service_checks",
            "Checks of services by kind and how they ended.",
            ["kind", "result"],
            registry=r,
        )
        for kind in ("http", "tcp", "exec"):
            for result in ("good", "bad", "unknown"):
                self.checks.labels(kind, result)
        self.check_lateness = Histogram(
            "vendetta_service_check_lateness_seconds",
            "From when a check of a service was due until it began.",
            buckets=_FAST,
            registry=r,
        )
        self.discoveries = Counter(
            "vendetta_service_discoveries", "Looks for services on a node.", ["result"], registry=r
        )
        for result in ("done", "failed"):
            self.discoveries.labels(result)
        self.host_key_changes = Counter(
            "vendetta_host_key_mismatches", "Nodes that presented a key that is not trusted.", registry=r
        )
        self.credential_rebinds = Counter(
            "vendetta_credential_rebinds_required",
            "Nodes whose credential was about to be used at another address or host key, and was not.",
            registry=r,
        )
        self.reconciles = Counter(
            "vendetta_reconciles", "Reconciles by kind and how they ended.", ["kind", "result"], registry=r
        )
        self.reconcile_duration = Histogram(
            "vendetta_reconcile_duration_seconds", "Time of one reconcile.", ["kind"], buckets=_FAST, registry=r
        )
        self.queue_depth = Gauge("vendetta_workqueue_depth", "Keys that wait to be reconciled.", ["kind"], registry=r)
        self.replica_members = Gauge(
            "vendetta_replica_live_members", "Servers that share the nodes, as this one sees it.", registry=r
        )
        self.replica_nodes = Gauge("vendetta_replica_nodes", "Nodes that this server works on.", registry=r)
        self.handover_duration = Histogram(
            "vendetta_replica_handover_seconds",
            "From the news that servers came or went until this one had taken its share.",
            buckets=_FAST,
            registry=r,
        )
        self.frozen = Gauge(
            "vendetta_deliveries_frozen", "1 while deliveries are frozen: too many nodes left at once.", registry=r
        )
        self.manifest_objects = Gauge(
            "vendetta_manifest_objects", "Objects that the folder of manifests wants.", registry=r
        )
        self.manifest_problems = Gauge(
            "vendetta_manifest_problems", "What in the folder of manifests has no effect.", registry=r
        )
        self.manifest_changes = Counter(
            "vendetta_manifest_changes", "Objects changed by the folder of manifests.", ["change"], registry=r
        )
        for change in ("created", "changed", "deleted"):
            self.manifest_changes.labels(change)
        self.manifest_applied = Gauge(
            "vendetta_manifest_last_applied_timestamp_seconds",
            "When the folder of manifests was last applied.",
            registry=r,
        )
        self.certificate_expiry = Gauge(
            "vendetta_certificate_earliest_expiry_timestamp_seconds",
            "When the first certificate of each kind in the credentials directory expires.",
            ["kind"],
            registry=r,
        )
        self.certificates_expiring = Gauge(
            "vendetta_certificates_expiring",
            "Certificates in the last tenth of their life, or over it.",
            ["kind"],
            registry=r,
        )
        self.config_good = Gauge(
            "vendetta_config_last_reload_successful",
            "0 when the configuration was read again and is wrong: the one of before holds.",
            registry=r,
        )
        self.config_read = Gauge(
            "vendetta_config_last_reload_success_timestamp_seconds",
            "When the configuration that holds was read.",
            registry=r,
        )
        self.loop_success = Gauge(
            "vendetta_loop_last_success_timestamp_seconds", "When each loop last made progress.", ["loop"], registry=r
        )
        self.loop_limit = Gauge(
            "vendetta_loop_limit_seconds", "How long each loop may go without progress.", ["loop"], registry=r
        )
