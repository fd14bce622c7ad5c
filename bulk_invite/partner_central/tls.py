"""Whom TLS trusts: chain, name and validity are always checked, and nothing turns that off.

The SDK leaves the name to urllib3, which checks it itself; aiohttp, which it calls with here, does not.
Behind a proxy, and where the file of authorities is set to nothing, it checks nothing at all.
"""

from __future__ import annotations

import ssl

from botocore.httpsession import get_cert_path

Authorities = str | bool | None
"""What the SDK passes on: the path of a file; everything else stands for the usual authorities."""

ClientCertificate = str | tuple[str, str] | None
"""A file with certificate and key, or one for each."""


def checked(
    authorities: Authorities, *further: str | None, certificate: ClientCertificate = None
) -> ssl.SSLContext:
    """A context that checks everything. further: more files with authorities.

    Raises OSError (ssl.SSLError among them) where a file is missing or holds nothing of the kind.
    """
    context = ssl.create_default_context(cafile=trusted(authorities))
    # Not about whom to trust: from 3.13 on it refuses authorities of many a house for what they leave out.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for file in further:
        if file:
            context.load_verify_locations(file)
    if certificate:
        context.load_cert_chain(*((certificate,) if isinstance(certificate, str) else certificate))
    return context


def trusted(authorities: Authorities) -> str:
    """The file with the authorities that are trusted. No value means that none are asked for."""
    named = authorities if isinstance(authorities, str) and authorities else True
    return str(get_cert_path(named))
