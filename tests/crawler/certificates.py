"""A certificate authority of our own, and the bad certificates a server may show."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Authority:
    folder: Path

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Newsmill test CA")])
        self.certificate = self._sign(self.name, self.key, self.name, self.key, None, 30, ca=True)
        self.path = self.folder / "ca.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def context(
        self, ip: str, *, days: int = 30, since: int = -60, self_signed: bool = False, via: str | None = None, has_names: bool = True
    ) -> ssl.SSLContext:
        """A server context for `ip`; expired when `days` is negative, and not valid yet when `since` is positive.

        `via`: signed by an intermediate authority of this name, whose certificate the server does not send. Without `has_names`, the
        certificate names no host.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ip)])
        signer, issuer = (key, name) if self_signed else (self.key, self.name)
        if via is not None:
            signer, issuer = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, via)])
        certificate = self._sign(name, key, issuer, signer, ip if has_names else None, days, since=since)
        path = self.folder / f"{ip}-{days}-{since}-{self_signed}-{via}.pem"
        pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
        path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none) + certificate.public_bytes(pem))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _sign(self, name, key, issuer, signer, ip, days, ca=False, since=-60):  # type: ignore[no-untyped-def]
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=since))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if ip is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(ip))]), critical=False)
        return builder.sign(signer, hashes.SHA256())
