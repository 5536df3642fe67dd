"""Watching frames as they are made: MJPEG over HTTP, on the loopback address alone."""

from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Condition, Thread
from typing import Final

from farm.errors import FarmError, UserError
from farm.model.events import News, UnitChanged
from farm.model.unit import Role, UnitState

_LOOPBACK: Final = "127.0.0.1"
_BOUNDARY: Final = "frame"
_QUALITY: Final = 90
_PAGE: Final = b"""<!doctype html><meta charset=utf-8><title>farm</title>
<style>body{margin:0;background:#000}img{width:100vw;height:100vh;object-fit:contain}</style>
<img src=stream alt="The latest frame">
"""


class Live:
    """Shows each frame to whoever looks, as soon as it is there; an observer of the controller.

    Who comes late begins with the latest frame; who is slow misses some.
    """

    def __init__(self) -> None:
        self._fresh = Condition()
        self._latest, self._count, self._is_open = b"", 0, True

    def serve(self, port: int) -> tuple[int, Callable[[], None]]:
        """Answer at this port of the loopback address; return the port and what ends it.

        port: 0 for any free one. Raises UserError where the port is taken.
        """
        try:
            server = ThreadingHTTPServer((_LOOPBACK, port), _handler(self))
        except OSError as error:
            raise UserError(
                f"cannot show frames on port {port}: {error.strerror}; choose another"
            ) from error
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, name="farm-live", daemon=True)
        thread.start()

        def close() -> None:
            with self._fresh:
                self._is_open = False
                self._fresh.notify_all()
            server.shutdown()
            server.server_close()
            thread.join()

        return server.server_port, close

    def on_event(self, event: News) -> None:
        if not isinstance(event, UnitChanged) or event.state is not UnitState.SUCCEEDED:
            return
        if event.unit.role is Role.RENDER:
            with suppress(FarmError):  # it may be used up and gone already
                self._show(_jpeg(event.unit.target))

    def _show(self, picture: bytes) -> None:
        with self._fresh:
            self._latest, self._count = picture, self._count + 1
            self._fresh.notify_all()

    def next_after(self, seen: int) -> tuple[bytes, int]:
        """Wait for a frame later than the seen-th; empty bytes where no more will come."""
        with self._fresh:
            self._fresh.wait_for(lambda: self._count > seen or not self._is_open)
            return (self._latest if self._count > seen else b""), self._count


def _jpeg(target: str) -> bytes:
    from PIL import Image

    from farm.media import read_still, to_levels

    file = BytesIO()
    Image.fromarray(to_levels(read_still(target).pixels, 8)).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _handler(live: Live) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/stream":
                with suppress(ConnectionError):
                    self._stream()
            elif self.path == "/":
                self._answer("text/html", _PAGE)
            else:
                self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
            """Say nothing: the terminal shows the job."""

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            picture, seen = live.next_after(0)
            while picture:
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                self.wfile.write(f"{head}Content-Length: {len(picture)}\r\n\r\n".encode())
                self.wfile.write(picture + b"\r\n")
                picture, seen = live.next_after(seen)

    return Handler
