"""Reaching a host: directly, through a proxy, and what is said when that fails."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.upstox.feed_fixtures import CERTIFICATE
from tickrec.doctor.reach import ProxyError, proxy_for, proxy_name, reach


@contextmanager
def served(answer: bytes, context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that answers so, and with `context` is the host behind it, too; its port, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answer)
                if context is not None:
                    context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], asked
        thread.join(10)


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def test_a_host_behind_a_proxy_is_reached_and_its_certificate_checked() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with served(b"HTTP/1.1 200 OK\r\n\r\n", context) as (port, asked):
        found = reach("https://localhost", trusting, proxy=f"http://me:p%40ss@127.0.0.1:{port}")
    assert found.tls.startswith("TLS")
    assert found.certificate_ends_ns
    assert asked[0].startswith(b"CONNECT localhost:443 ")
    assert b"Basic bWU6cEBzcw==" in asked[0]  # me:p@ss


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502"),
        (b"SSH-2.0-OpenSSH\r\n", "SSH"),
        (b"", "Remote end closed"),
    ],
)
def test_a_proxy_that_lets_nobody_through_is_to_blame(answer: bytes, said: str) -> None:
    with served(answer) as (port, _), pytest.raises(ProxyError, match=said):
        reach("https://broker.test", trusting, proxy=f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("http://127.0.0.1:{}", "refused"),
        ("127.0.0.1:{}", "refused"),
        ("socks5://127.0.0.1:{}", "refused"),
        ("http://proxy.invalid:{}", "not known"),
        ("http:/proxy", "not known"),
        ("http://proxy:port", "no address"),
        ("http://", "no address"),
    ],
)
def test_a_proxy_that_nobody_listens_on_is_to_blame(proxy: str, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ProxyError, match=said):
        reach("https://broker.test", trusting, proxy=proxy.format(port))


def test_which_proxy_is_asked_is_what_requests_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_for("https://broker.test") is None
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy:3128")
    assert proxy_for("https://broker.test") == proxy_for("wss://broker.test/x") == "http://me:secret@proxy:3128"
    assert proxy_for("https://127.0.0.1:1") is None
    monkeypatch.setenv("no_proxy", "broker.test")
    assert proxy_for("https://broker.test") is None
    assert proxy_name("http://me:secret@proxy:3128") == "proxy"
    assert "secret" not in proxy_name("http://[me:secret")
