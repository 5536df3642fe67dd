"""A proxy before a real server that fails as networks and overloaded servers do."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

BUSY = b"<Error><Code>SlowDown</Code></Error>"
BROKEN = b"<Error><Code>InternalError</Code></Error>"
EXPIRED = b"<Error><Code>ExpiredToken</Code></Error>"


@dataclass
class Answer:
    """What the server has answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


Fault = Callable[["Handler", Callable[[], Answer]], None]
"""Answers a request in place of the proxy. The second argument has the server carry it out."""


def busy(handler: "Handler", _carry_out: Callable[[], Answer]) -> None:
    """Say that the server is busy, which carries nothing out."""
    handler.answer(Answer(503, [("Content-Type", "application/xml")], BUSY))


def broken(handler: "Handler", _carry_out: Callable[[], Answer]) -> None:
    """Say that something went wrong with this request."""
    handler.answer(Answer(500, [("Content-Type", "application/xml")], BROKEN))


def expired(handler: "Handler", _carry_out: Callable[[], Answer]) -> None:
    """Say that the keys have expired, which carries nothing out."""
    handler.answer(Answer(400, [("Content-Type", "application/xml")], EXPIRED))


def cut(handler: "Handler", carry_out: Callable[[], Answer]) -> None:
    """Send half of the answer, and close the connection."""
    handler.answer(carry_out(), part=0.5)
    handler.close_connection = True


def lose_answer(handler: "Handler", carry_out: Callable[[], Answer]) -> None:
    """Close the connection after the request was carried out."""
    carry_out()
    handler.close_connection = True


def refuse(handler: "Handler", _carry_out: Callable[[], Answer]) -> None:
    """Close the connection before anything is carried out."""
    handler.close_connection = True


def silent(handler: "Handler", _carry_out: Callable[[], Answer]) -> None:
    """Never answer."""
    handler.proxy.is_closing.wait()
    handler.close_connection = True


def slow(handler: "Handler", carry_out: Callable[[], Answer]) -> None:
    """Send the answer in pieces, with pauses."""
    handler.answer(carry_out(), pieces=20)


@dataclass
class Proxy:
    """The proxy as a test sees it.

    fail: the next requests with this method, each with one of the faults. requests: the method and
    path of every request so far, with its range.
    """

    upstream: str
    endpoint: str = ""
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    is_closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, method: str, *faults: Fault) -> None:
        self.faults += ((method, fault) for fault in faults)

    def count(self, method: str) -> int:
        return sum(request[0] == method for request in self.requests)

    def next_fault(self, method: str) -> Fault | None:
        with self.lock:
            for index, (wanted, fault) in enumerate(self.faults):
                if wanted == method:
                    del self.faults[index]
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):
            super().handle_one_request()

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.proxy.requests.append((self.command, self.path, self.headers.get("Range", "")))
        fault = self.proxy.next_fault(self.command)
        if fault:
            fault(self, lambda: self._carry_out(body))
        else:
            self.answer(self._carry_out(body))

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815 - http.server's names

    def _carry_out(self, body: bytes) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.proxy.upstream).netloc)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in {"connection", "expect"}:
                connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return Answer(answer.status, answer.getheaders(), content)

    def answer(self, answer: Answer, part: float = 1.0, pieces: int = 1) -> None:
        self.send_response_only(answer.status)
        left_out = {"connection", "transfer-encoding", "content-length"}
        for name, value in answer.headers:
            if name.lower() not in left_out or (
                self.command == "HEAD" and name.lower() == "content-length"
            ):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        sent = answer.body[: int(len(answer.body) * part)]
        step = -(-len(sent) // pieces) or 1
        for start in range(0, len(sent), step):
            self.wfile.write(sent[start : start + step])
            if pieces > 1:
                self.proxy.is_closing.wait(0.01)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before a server. Without faults it passes everything on."""
    proxy = Proxy(upstream)
    handler = type("ProxyHandler", (Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.is_closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
