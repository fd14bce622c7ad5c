"""The authorities that tests trust: none, for everything here is on loopback and without TLS.

To load the authorities of the system takes a tenth of a second, at every start and for every client of the
SDK.
"""

from __future__ import annotations

from pathlib import Path

_NO_AUTHORITY = Path(__file__).with_name("nobody.pem")

CERTIFICATES = {"AWS_CA_BUNDLE": str(_NO_AUTHORITY), "SSL_CERT_FILE": str(_NO_AUTHORITY)}
"""Variables of the environment that say so."""
