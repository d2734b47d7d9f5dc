"""Certificates for an address on loopback, each with its key: self-signed, or signed by another one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate; `path` and `key_path` are PEM files."""

    path: Path
    key_path: Path
    made: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(
        cls,
        folder: Path,
        name: str,
        *,
        address: str = "127.0.0.1",
        signed_by: Self | None = None,
        life: timedelta = timedelta(hours=1),
    ) -> Self:
        """A new one in `<folder>/<name>.pem`, for that address; by default it signs itself and may sign others."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"vendetta-test-{name}")])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(signed_by.made.subject if signed_by else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + life)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=signed_by is None, path_length=None), critical=True)
        )
        made = builder.sign(signed_by.key if signed_by else key, hashes.SHA256())
        path, key_path = folder / f"{name}.pem", folder / f"{name}-key.pem"
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key_path.write_bytes(key.private_bytes(*form))
        return cls(path=path, key_path=key_path, made=made, key=key)
