"""TLS verification: chain, name and validity are always checked, and nothing turns that off.

The SDK leaves the name check to urllib3, which does it itself; aiohttp, which is used here, does not. Behind
a proxy, and with an empty CA file, the SDK checks nothing at all.
"""

from __future__ import annotations

import ssl

from botocore.httpsession import get_cert_path

Authorities = str | bool | None
"""As passed by the SDK: the path of a file; anything else means the default authorities."""

ClientCertificate = str | tuple[str, str] | None
"""A file with certificate and key, or one for each."""


def checked(
    authorities: Authorities, *further: str | None, certificate: ClientCertificate = None
) -> ssl.SSLContext:
    """A context that verifies everything. further: more files with authorities.

    Raises OSError (including ssl.SSLError) if a file is missing or has no certificates.
    """
    context = ssl.create_default_context(cafile=trusted(authorities))
    # Python 3.13 rejects incomplete certificates of many corporate authorities by default; trust is
    # unaffected.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for file in further:
        if file:
            context.load_verify_locations(file)
    if certificate:
        context.load_cert_chain(*((certificate,) if isinstance(certificate, str) else certificate))
    return context


def trusted(authorities: Authorities) -> str:
    """The file with the trusted authorities; the default one if none is set."""
    named = authorities if isinstance(authorities, str) and authorities else True
    return str(get_cert_path(named))
