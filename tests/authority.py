"""A certificate authority made for one test run."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """As RFC 5280 wants it; `bare`: without a key usage, as `openssl req -x509` makes one."""

    def __init__(self, folder: Path, *, bare: bool = False) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._known_by = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        built = self._builder(self._name).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        built = built.add_extension(self._known_by, critical=False)
        if not bare:
            built = built.add_extension(SIGNS, critical=True)
        self.certificate = built.sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts this authority and no other."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        context.set_alpn_protocols(["http/1.1"])
        return context

    def server_context(self, *hosts: str, expired: bool = False) -> ssl.SSLContext:
        """A context that shows a certificate for these host names or addresses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issued(*hosts, expired=expired))
        return context

    def issued(self, *hosts: str, expired: bool = False) -> Path:
        """A file with a key and a certificate for these host names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
        builder = self._builder(x509.Name([]), key, days=-1 if expired else 2)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._known_by)
        certificate = builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        path = self._folder / f"{hosts[0]}{'-expired' if expired else ''}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey | None = None, days: int = 2
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key((key or self._key).public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=3))
            .not_valid_after(now + timedelta(days=days))
        )
