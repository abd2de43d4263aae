"""What tests of tokens, REST calls and the login share: made-up tokens, and a scripted HTTP server on a real port."""

import base64
import contextlib
import datetime as dt
import http.server
import json
import threading
from collections.abc import Callable, Iterator

from tickrec.clock import IST, from_datetime

Answer = tuple[int, dict[str, str], bytes]


def jwt(claims: object) -> str:
    """A token like the broker's, with these claims and a signature nobody checks."""
    parts = [json.dumps({"typ": "JWT", "alg": "HS256"}), json.dumps(claims), "signature"]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def ist_ns(year: int, month: int, day: int, hour: int, minute: int) -> int:

    return from_datetime(dt.datetime(year, month, day, hour, minute, tzinfo=IST))


class Script:
    """An HTTP server that answers as told and notes what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Callable[[str], Answer] = lambda path: (200, {}, b"{}")
        script = self

        class Visit(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                script.requests.append((self.command, self.path, dict(self.headers), body))
                status, headers, answer = script.answer(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Visit)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def says(self, body: object, status: int = 200) -> None:
        """Answer everything with this JSON."""
        self.answer = lambda path: (status, {}, json.dumps(body).encode())


@contextlib.contextmanager
def running() -> Iterator[Script]:
    script = Script()
    thread = threading.Thread(target=script.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        script.server.shutdown()
        script.server.server_close()
        thread.join()
