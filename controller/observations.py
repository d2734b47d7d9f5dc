"""What probing found out about each node, between the prober and the node reconciler. Nothing here is stored."""

from collections.abc import Collection
from dataclasses import dataclass, field

from transports.base import Probe
from transports.errors import CredentialRebindRequired, HostKeyMismatch, TransportError

FAILURES_UNTIL_UNREACHABLE = 3


@dataclass(slots=True)
class Observation:
    """One node's probes: how many failed in a row, the last answer, the last error, the host key seen."""

    failures: int = 0
    answered: bool = False
    probe: Probe | None = None
    error: TransportError | None = None
    host_key: str | None = None
    untrusted_key: HostKeyMismatch | None = None
    rebind: CredentialRebindRequired | None = None

    def success(self, probe: Probe, host_key: str | None) -> None:
        """The node answered."""
        self.failures, self.answered, self.probe, self.error = 0, True, probe, None
        self.host_key, self.untrusted_key, self.rebind = host_key or self.host_key, None, None

    def failure(self, error: TransportError) -> None:
        """The node did not answer, or not as the one that is trusted."""
        self.failures += 1
        self.error = error
        if isinstance(error, HostKeyMismatch):
            self.mismatch(error)

    def mismatch(self, error: HostKeyMismatch) -> None:
        """The node presented a key that is not trusted, to a probe or to whoever else connected."""
        self.untrusted_key = error

    def rebinding(self, error: CredentialRebindRequired | None) -> None:
        """Whether the node's credential was about to be used at another place than it is bound to."""
        self.rebind = error

    @property
    def unreachable(self) -> bool:
        """Whether so many probes have failed in a row that the node counts as unreachable."""
        return self.failures >= FAILURES_UNTIL_UNREACHABLE


@dataclass(slots=True)
class Observations:
    """Observations by node uid."""

    _by_uid: dict[str, Observation] = field(default_factory=dict)

    def of(self, uid: str) -> Observation:
        """The node's observation, empty at first."""
        return self._by_uid.setdefault(uid, Observation())

    def keep(self, uids: Collection[str]) -> None:
        """Drop all other nodes: by the time that they come back, it is old."""
        self._by_uid = {uid: seen for uid, seen in self._by_uid.items() if uid in uids}

    def forget(self, uid: str) -> None:
        """Drop a node that is gone."""
        self._by_uid.pop(uid, None)
