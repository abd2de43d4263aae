"""TLS: which certificates are trusted, by requests and the websocket alike, on every Python."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tickrec.upstox.auth import Token
from tickrec.upstox.protocol import Situation
from tickrec.upstox.rest import Rest, RestError
from tickrec.upstox.websocket import Refused, open_websocket

FOLDER = Path(__file__).parent
ROOT_WITHOUT_IDENTIFIER = FOLDER / "corporate_root.pem"
HOST_OF_IT = FOLDER / "corporate_host.pem"
"""The certificate and key of localhost, signed by that root."""


@pytest.fixture(autouse=True)
def _a_python_that_is_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ssl.create_default_context gives from Python 3.13 on."""
    default = ssl.create_default_context

    def strict() -> ssl.SSLContext:
        context = default()
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)


@contextlib.asynccontextmanager
async def host() -> AsyncIterator[int]:
    """A server behind the company's certificate that answers every request with 503."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Not now\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HOST_OF_IT)
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
    if refused := asyncio.all_tasks() - {asyncio.current_task()}:  # handshakes that the server has yet to give up
        await asyncio.wait(refused, timeout=10)


async def situations(name: str, port: int) -> tuple[Situation, Situation]:
    """How a request and a websocket to a host end."""
    rest = Rest(f"https://{name}:{port}", f"https://{name}:{port}")
    with pytest.raises(RestError) as asked:
        await asyncio.to_thread(rest.holidays)
    with pytest.raises(Refused) as opened:
        await open_websocket(f"wss://{name}:{port}/feed", rest, Token("t"), open_timeout=10, close_timeout=1)
    return asked.value.failure.situation, opened.value.failure.situation


async def test_a_root_without_an_identifier_is_trusted_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ROOT_WITHOUT_IDENTIFIER))
    async with host() as port:
        assert await situations("localhost", port) == (Situation.BROKER_ERROR, Situation.BROKER_ERROR)


@pytest.mark.parametrize("trusted", [FOLDER / "broker.pem", FOLDER / "missing.pem"])
async def test_a_root_that_is_not_named_is_not_trusted(monkeypatch: pytest.MonkeyPatch, trusted: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with host() as port:
        assert await situations("localhost", port) == (Situation.TLS, Situation.TLS)


async def test_another_host_than_the_certificate_is_for_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ROOT_WITHOUT_IDENTIFIER))
    async with host() as port:
        assert await situations("127.0.0.1", port) == (Situation.TLS, Situation.TLS)


def test_verification_stays_on() -> None:
    context = Rest("https://broker.test", "https://broker.test").tls
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
