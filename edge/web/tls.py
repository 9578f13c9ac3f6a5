"""The page's certificate: a bad one costs the page, with one clear reason, never the recording."""

from __future__ import annotations

import ssl
from pathlib import Path

from edge.errors import EX_CONFIG, TwinhdrError


class TlsError(TwinhdrError):
    """The certificate or its key cannot be used. The text says why and what to change."""

    exit_code = EX_CONFIG


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's context: TLS 1.2 or newer, from PEM files. Raises TlsError. Never asks for a passphrase."""

    def refuse() -> str:
        raise TlsError(f"{key}: needs a passphrase; remove it: openssl pkey -in OLD -out NEW (web.tls_key)")

    for name, file in (("web.tls_certificate", certificate), ("web.tls_key", key)):
        try:
            file.open("rb").close()
        except OSError as error:
            raise TlsError(f"{file}: {error.strerror}; {name} must be readable for the service") from error
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION
    try:
        made.load_cert_chain(certificate, key, refuse)
    except ssl.SSLError as error:
        what = (
            "the key is not that of the certificate"
            if "MISMATCH" in str(error)
            else "no PEM certificate and key"
        )
        raise TlsError(f"{certificate}, {key}: {what}; check web.tls_certificate and web.tls_key") from error
    return made
