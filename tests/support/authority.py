"""Certificate authorities that only tests trust, and certificates of every kind by them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "localhost"


class Authority:
    """One that signs certificates. file: the file to trust."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.made = trustme.CA()
        self.file = folder / f"{name}.pem"
        self.made.cert_pem.write_to_path(self.file)

    def server(self, name: str = HOST) -> ssl.SSLContext:
        """The TLS context of a server with a valid certificate for that name."""
        return _of(self.made.issue_cert(name))

    def expired(self) -> ssl.SSLContext:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        return _of(self.made.issue_cert(HOST, not_before=yesterday - timedelta(days=9), not_after=yesterday))

    def without_intermediate(self) -> ssl.SSLContext:
        """By an authority in between, which the server does not show."""
        issued = self.made.create_child_ca().issue_cert(HOST)
        return _loaded(issued.private_key_pem, issued.cert_chain_pems[0])


def self_signed() -> ssl.SSLContext:
    """Of a valid certificate that is signed by its own key only."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _loaded(_pem(key), _certificate(HOST, key, HOST, key, _NAMED))


def of_a_careless_house(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority that leaves out what RFC 5280 asks for, and a server whose certificate it has signed."""
    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    file = folder / "careless.pem"
    is_authority = x509.BasicConstraints(ca=True, path_length=None)
    _certificate("house", root, "house", root, is_authority).write_to_path(file)
    return file, _loaded(_pem(key), _certificate("server", key, "house", root, _NAMED))


_NAMED = x509.SubjectAlternativeName([x509.DNSName(HOST)])


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issued_by: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> trustme.Blob:
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(_name(issuer), _name(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(issued_by, hashes.SHA256())
    )
    return trustme.Blob(made.public_bytes(serialization.Encoding.PEM))


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> trustme.Blob:
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return trustme.Blob(key.private_bytes(serialization.Encoding.PEM, form, plain))


def _loaded(key: trustme.Blob, certificate: trustme.Blob) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with key.tempfile() as key_file, certificate.tempfile() as certificate_file:
        context.load_cert_chain(certificate_file, key_file)
    return context


def _of(issued: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context
