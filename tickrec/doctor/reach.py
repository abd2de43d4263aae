"""Reach: how far one gets to a host. Name, connection, certificate.

Asks nothing of the host and sends it nothing but a TLS greeting. Certificates and names are verified, always.
"""

import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tickrec.clock import SECOND

TIMEOUT_SECONDS: Final = 5.0
_PORTS: Final = {"https": 443, "wss": 443, "http": 80, "ws": 80}


@dataclass(frozen=True, slots=True)
class Reach:
    """A host that was reached."""

    host: str
    address: str
    tls: str
    """TLSv1.3; empty for a connection without."""
    certificate_ends_ns: int | None


def host_of(url: str) -> str:
    """The host in an address, and nothing else of it."""
    return urllib.parse.urlsplit(url).hostname or ""


def proxy_for(url: str) -> str | None:
    """The host of the proxy that the environment names for an address; None: it is reached directly."""
    parts = urllib.parse.urlsplit(url)
    scheme = {"wss": "https", "ws": "http"}.get(parts.scheme, parts.scheme)
    proxy = urllib.request.getproxies().get(scheme)
    return None if not proxy or urllib.request.proxy_bypass(parts.hostname or "") else host_of(proxy) or proxy


def reach(url: str, context: ssl.SSLContext, *, timeout: float = TIMEOUT_SECONDS) -> Reach:
    """Resolve the host of `url`, connect, and agree on TLS where the address asks for it. Raises OSError."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    with socket.create_connection((host, parts.port or _PORTS[parts.scheme]), timeout) as plain:
        address = str(plain.getpeername()[0])
        if parts.scheme not in ("https", "wss"):
            return Reach(host, address, "", None)
        with context.wrap_socket(plain, server_hostname=host) as secured:
            return Reach(host, address, secured.version() or "", _end(secured.getpeercert() or {}))


def _end(certificate: Mapping[str, object]) -> int | None:
    text = certificate.get("notAfter")
    return int(ssl.cert_time_to_seconds(text)) * SECOND if isinstance(text, str) else None
