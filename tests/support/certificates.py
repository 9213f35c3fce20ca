"""Certificates for one test session: an authority, a server on the loopback, a client."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import Certificate, Name


@dataclass(frozen=True)
class Certificates:
    ca: Path
    server_cert: Path
    server_key: Path
    cert: Path
    key: Path


def make_certificates(directory: Path) -> Certificates:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate(
        "wherry test authority", authority_key, authority_key, _name("authority"), ca=True
    )
    made = Certificates(
        *(
            directory / name
            for name in ("ca.pem", "server.pem", "server-key.pem", "cert.pem", "key.pem")
        )
    )
    made.ca.write_bytes(authority.public_bytes(Encoding.PEM))
    for common, cert, key in (
        ("server", made.server_cert, made.server_key),
        ("client", made.cert, made.key),
    ):
        own = ec.generate_private_key(ec.SECP256R1())
        signed = _certificate(common, own, authority_key, authority.subject, ca=False)
        cert.write_bytes(signed.public_bytes(Encoding.PEM))
        _write_key(key, own)
    return made


def _name(common: str) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    common: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: Name,
    *,
    ca: bool,
) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name("authority" if ca else common))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        usages = [Usage.SERVER_AUTH, Usage.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
