"""When the certificates in the credentials directory expire: those that the server shows to nodes, and the
authorities by which it knows them.

A certificate that is renewed in time never gets into the last tenth of its life, whether that takes hours or years.
One that does is told of in the log, by the name of its credential, and counted in the metrics, where no name belongs.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

from controller.credentials import CERTIFICATES, CertificateKind, Credentials
from controller.metrics import Metrics
from controller.resources.types import rfc3339
from controller.runtime.clock import Clock

log = structlog.get_logger(__name__)

PAUSE: Final = 30.0
"""Seconds between two looks."""
LAST_PART: Final = 0.1
"""Of its life, by which a certificate should have been renewed."""
_FOR_EVER: Final = 2**64 - 1
"""How OpenSSH writes that a certificate never expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Of one certificate, in seconds since 1970."""

    credential: str
    kind: CertificateKind
    begins: float
    ends: float

    def is_ending(self, now: float) -> bool:
        """Whether it is in the last part of its life, or over it."""
        return now >= self.ends - LAST_PART * (self.ends - self.begins)


class Certificates:
    """`look` is called over and over."""

    def __init__(self, credentials: Credentials, *, clock: Clock, metrics: Metrics) -> None:
        self._credentials, self._clock, self._metrics = credentials, clock, metrics
        self._told: frozenset[Life] = frozenset()

    async def look(self) -> None:
        """Read every certificate, and tell of those that should have been renewed."""
        lives = await asyncio.to_thread(self._lives)
        now = self._clock.now().timestamp()
        ending = frozenset(life for life in lives if life.is_ending(now))
        self._account(lives, ending)
        for life in sorted(ending - self._told, key=_end):
            expires = rfc3339(datetime.fromtimestamp(life.ends, UTC))
            log.warning("a certificate expires", credential=life.credential, kind=life.kind, expires=expires)
        self._told = ending

    def _account(self, lives: Sequence[Life], ending: frozenset[Life]) -> None:
        self._metrics.certificate_expiry.clear()
        for life in sorted(lives, key=_end, reverse=True):
            self._metrics.certificate_expiry.labels(life.kind).set(life.ends)
        counts = Counter(life.kind for life in ending)
        for kind in CERTIFICATES:
            self._metrics.certificates_expiring.labels(kind).set(counts[kind])

    def _lives(self) -> list[Life]:
        """Of all that can be read; of the rest, whoever connects with it is told."""
        lives: list[Life] = []
        for credential, kind, content in self._credentials.certificates():
            try:
                spans = list(_spans(kind, content))
            except (ValueError, UnsupportedAlgorithm):
                continue
            if spans:
                # A chain is as good as its first link to break; of authorities, a new one stands beside the old one.
                begins, ends = (max if kind == "authority" else min)(spans, key=lambda span: span[1])
                lives.append(Life(credential=credential, kind=kind, begins=begins, ends=ends))
        return lives


def _end(life: Life) -> float:
    return life.ends


def _spans(kind: CertificateKind, content: bytes) -> Iterator[tuple[float, float]]:
    """From when until when each certificate is valid; nothing where it is for ever. Raises ValueError."""
    if kind != "ssh":
        for found in x509.load_pem_x509_certificates(content):
            yield found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
        return
    identity = load_ssh_public_identity(content)
    if isinstance(identity, SSHCertificate) and identity.valid_before != _FOR_EVER:
        yield float(identity.valid_after), float(identity.valid_before)
