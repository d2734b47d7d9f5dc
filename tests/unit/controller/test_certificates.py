"""Certificates that expire are told of in time, whether they live for hours or years."""

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.certificates import Certificates
from controller.credentials import Credentials
from controller.metrics import Metrics
from tests.support.certificates import Certificate

HOUR = timedelta(hours=1)
PATH_MAX = 4096


class SetClock:
    """A clock that shows what it is set to."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def now(self) -> datetime:
        """What it shows."""
        return self.at

    def monotonic(self) -> float:
        """Seconds."""
        return self.at.timestamp()


class Watched:
    """A credentials directory, the metrics of its certificates, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.metrics, self.clock = folder, Metrics(), SetClock()
        self.certificates = Certificates(Credentials(folder), clock=self.clock, metrics=self.metrics)

    def look(self, after: timedelta = timedelta()) -> list[str]:
        """Look so much later. Returns the credentials that the log names."""
        self.clock.at += after
        with capture_logs() as logs:
            asyncio.run(self.certificates.look())
        return [entry["credential"] for entry in logs]

    def put(self, credential: str, name: str, content: bytes) -> None:
        """A file in the folder of a credential."""
        (self.folder / credential).mkdir(exist_ok=True)
        (self.folder / credential / name).write_bytes(content)

    def expiry(self, kind: str) -> float | None:
        """When the first one of that kind expires, as the metric says."""
        name = "vendetta_certificate_earliest_expiry_timestamp_seconds"
        return self.metrics.registry.get_sample_value(name, {"kind": kind})

    def expiring(self, kind: str) -> float | None:
        """How many are in the last part of their life."""
        return self.metrics.registry.get_sample_value("vendetta_certificates_expiring", {"kind": kind})


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    (tmp_path / "credentials").mkdir()
    return Watched(tmp_path / "credentials")


def ssh_certificate(folder: Path, *validity: str) -> bytes:
    """A login certificate, made by ssh-keygen."""
    for name in ("ca", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    line: list[str | Path] = [
        "ssh-keygen",
        "-q",
        "-s",
        folder / "ca",
        "-I",
        "x",
        "-n",
        "deploy",
        *validity,
        folder / "key.pub",
    ]
    subprocess.run(line, check=True)
    return (folder / "key-cert.pub").read_bytes()


def test_a_certificate_is_told_of_once_in_the_last_tenth_of_its_life(watched: Watched, tmp_path: Path) -> None:
    """And counted until it has been renewed; one of two hours, one hour old."""
    old = Certificate.make(tmp_path, "old")
    watched.put("agent", "tls.crt", old.path.read_bytes())
    assert watched.look() == []
    assert watched.expiry("tls") == old.made.not_valid_after_utc.timestamp()
    assert (watched.expiring("tls"), watched.expiry("ssh"), watched.expiring("ssh")) == (0, None, 0)
    assert watched.look(timedelta(minutes=50)) == ["agent"]
    assert watched.look(timedelta(minutes=30)) == []
    assert watched.expiring("tls") == 1
    watched.clock.at = datetime.now(UTC)
    watched.put("agent", "tls.crt", Certificate.make(tmp_path, "new").path.read_bytes())
    assert watched.look() == []
    assert watched.expiring("tls") == 0


@pytest.mark.parametrize("beside", [True, False])
def test_login_certificates_count_beside_a_key_and_in_a_folder(
    watched: Watched, tmp_path: Path, beside: bool
) -> None:
    """Those for SSH, as ssh-keygen makes them."""
    made = ssh_certificate(tmp_path, "-V", "-9h:+10m")
    if beside:
        (watched.folder / "deploy-cert.pub").write_bytes(made)
    else:
        watched.put("deploy", "ssh-certificate", made)
    assert watched.look() == ["deploy"]
    assert watched.expiring("ssh") == 1
    assert abs((watched.expiry("ssh") or 0) - (watched.clock.at + timedelta(minutes=10)).timestamp()) < 60


def test_what_never_expires_what_is_no_certificate_and_what_has_gone_count_for_nothing(
    watched: Watched, tmp_path: Path
) -> None:
    """A damaged certificate is told of by whoever connects with it, and hides no other."""
    watched.put("ever", "ssh-certificate", ssh_certificate(tmp_path))
    watched.put("damaged", "tls.crt", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    watched.put("empty", "ssh-certificate", b"")
    watched.put("large", "ca.crt", b"x" * 100_000)
    watched.put("sound", "ca.crt", Certificate.make(tmp_path, "sound").path.read_bytes())
    assert watched.look() == []
    assert watched.expiry("authority") is not None
    assert watched.expiry("ssh") is watched.expiry("tls") is None
    (watched.folder / "sound/ca.crt").unlink()
    watched.look()
    assert watched.expiry("authority") is None


def test_a_chain_ends_with_its_first_link_and_authorities_with_their_last(watched: Watched, tmp_path: Path) -> None:
    """While an authority is replaced, the old one stands beside the new one."""
    first = Certificate.make(tmp_path, "first")
    second = Certificate.make(tmp_path, "second", life=2 * HOUR)
    both = second.path.read_bytes() + first.path.read_bytes()
    watched.put("agent", "tls.crt", both)
    watched.put("agent", "ca.crt", both)
    watched.look()
    assert watched.expiry("tls") == first.made.not_valid_after_utc.timestamp()
    assert watched.expiry("authority") == second.made.not_valid_after_utc.timestamp()


def test_without_a_credentials_directory_there_is_nothing_to_watch(tmp_path: Path) -> None:
    """It is optional."""
    assert Watched(tmp_path / "none").look() == []


def test_a_place_that_cannot_be_looked_at_hides_no_other(tmp_path: Path) -> None:
    """As a volume's `lost+found` is root's: the loop goes on, and so does the server."""
    folder = tmp_path
    while (left := PATH_MAX - 15 - len(bytes(folder))) > 1:
        folder /= "d" * min(left - 1, 255)
    folder.mkdir(parents=True)
    watched = Watched(folder)
    (folder / "a").mkdir()
    (folder / "b-cert.pub").write_bytes(ssh_certificate(tmp_path, "-V", "always:+1h"))
    with pytest.raises(OSError, match="too long"):
        (folder / "a" / "ssh-certificate").is_file()
    assert watched.look() == ["b"]
    watched = Watched(folder / "a" / ("x" * 20))
    assert watched.look() == []
