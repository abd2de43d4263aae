"""Reach: how far one gets to a host. Name, connection, certificate.

Asks nothing of the host and sends it nothing but a TLS greeting. Certificates and names are verified, always.
"""

import base64
import http.client
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tickrec.clock import SECOND
from tickrec.values import is_loopback

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


class ProxyError(OSError):
    """The proxy that the environment names is not reached, or does not let one through; says why."""


def proxy_for(url: str) -> str | None:
    """The address of the proxy that the environment names for an address; None: it is reached directly."""
    parts = urllib.parse.urlsplit(url)
    scheme = {"wss": "https", "ws": "http"}.get(parts.scheme, parts.scheme)
    proxy = urllib.request.getproxies().get(scheme)
    host = parts.hostname or ""
    return None if not proxy or is_loopback(host) or urllib.request.proxy_bypass(host) else proxy


def proxy_name(proxy: str) -> str:
    """A proxy's host, without what else its address may hold, such as a password."""
    try:
        return host_of(proxy if "://" in proxy else f"http://{proxy}") or "of the environment"
    except ValueError:
        return "of the environment"


def reach(
    url: str, context: Callable[[], ssl.SSLContext], *, proxy: str | None = None, timeout: float = TIMEOUT_SECONDS
) -> Reach:
    """Resolve the host of `url`, connect, and agree on TLS where the address asks for it; through `proxy` if given.

    `context` is called only where there is TLS: to load all certificates takes longer than to reach a host. Raises
    OSError, and of those ProxyError for what the proxy is to blame for.
    """
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    connected = _through(proxy, host, port, timeout) if proxy else socket.create_connection((host, port), timeout)
    with connected as plain:
        address = str(plain.getpeername()[0])
        if parts.scheme not in ("https", "wss"):
            return Reach(host, address, "", None)
        with context().wrap_socket(plain, server_hostname=host) as secured:
            return Reach(host, address, secured.version() or "", _end(secured.getpeercert() or {}))


def _through(proxy: str, host: str, port: int, timeout: float) -> socket.socket:
    """A connection to a host through a proxy, by CONNECT whatever its scheme, as urllib has it. Raises ProxyError."""
    try:
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        tunnel = http.client.HTTPConnection(parts.hostname or "", parts.port or _PORTS["https"], timeout=timeout)
    except ValueError:
        raise ProxyError("it is no address") from None
    if not parts.hostname:
        raise ProxyError("it is no address")
    credentials = _credentials(parts)
    tunnel.set_tunnel(host, port, headers={"Proxy-Authorization": credentials} if credentials else {})
    try:
        tunnel.connect()
    except (OSError, http.client.HTTPException) as error:
        tunnel.close()
        raise ProxyError(_told(error)) from None
    return tunnel.sock


def _told(error: Exception) -> str:
    """Why a proxy was not of use; no address, as it may hold a password."""
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _credentials(proxy: urllib.parse.SplitResult) -> str:
    """The value of Proxy-Authorization for the user and password in a proxy's address; empty without."""
    if proxy.username is None:
        return ""
    pair = ":".join(map(urllib.parse.unquote, (proxy.username, proxy.password or "")))
    return f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"


def _end(certificate: Mapping[str, object]) -> int | None:
    text = certificate.get("notAfter")
    return int(ssl.cert_time_to_seconds(text)) * SECOND if isinstance(text, str) else None
