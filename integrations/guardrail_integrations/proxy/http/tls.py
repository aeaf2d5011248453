"""TLS, towards clients and upstreams."""

from __future__ import annotations

import ssl
from pathlib import Path


def client_tls(
    ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """TLS towards an upstream: its certificate is always verified, against `ca` or the system's
    authorities; `certificate` and `key` are shown where it asks for them."""
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except ssl.SSLError:
        raise ValueError(f"{ca}: no certificates in PEM") from None
    except OSError as error:
        raise ValueError(f"{ca}: {error.strerror}") from None
    if certificate is not None:
        show(context, certificate, key)
    return over_http(context)


def over_http(context: ssl.SSLContext) -> ssl.SSLContext:
    """TLS as HTTP/1.1 is spoken over it."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Load the certificate that the other side is shown. Raises ValueError."""

    def passphrase() -> str:  # else OpenSSL asks for it, and waits for a terminal to answer
        raise ValueError(f"{key or certificate}: a key without a passphrase is expected")

    try:
        context.load_cert_chain(certificate, key, passphrase)
    except ssl.SSLError:
        beside = "with its key" if key is None else f"of the key in {key}"
        raise ValueError(f"{certificate}: no certificate in PEM {beside}") from None
    except OSError as error:  # does not say which of the two
        files = certificate if key is None else f"{certificate}, {key}"
        raise ValueError(f"{files}: {error.strerror}") from None
