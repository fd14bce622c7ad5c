"""Certificate authorities that only tests trust, and certificates of every kind by them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

HOST = "localhost"


class Authority:
    """One that signs certificates. file: what those name who trust it."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.made = trustme.CA()
        self.file = folder / f"{name}.pem"
        self.made.cert_pem.write_to_path(self.file)

    def server(self, name: str = HOST) -> ssl.SSLContext:
        """What a server speaks TLS with whose certificate is in order, if that is its name."""
        return context_of(self.made.issue_cert(name))

    def expired(self) -> ssl.SSLContext:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        return context_of(
            self.made.issue_cert(HOST, not_before=yesterday - timedelta(days=9), not_after=yesterday)
        )

    def without_intermediate(self) -> ssl.SSLContext:
        """By an authority in between, which the server does not show."""
        issued = self.made.create_child_ca().issue_cert(HOST)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with (
            issued.cert_chain_pems[0].tempfile() as certificate,
            issued.private_key_pem.tempfile() as key,
        ):
            context.load_cert_chain(certificate, key)
        return context


def context_of(issued: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context
