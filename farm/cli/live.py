"""Show frames in a browser while a job runs: MJPEG over HTTP, on the loopback address only."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from socket import create_server, socket
from threading import Thread
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn import Config, Server

from farm.errors import FarmError, UserError
from farm.model.events import News, UnitChanged
from farm.model.unit import Role, UnitState

_LOOPBACK: Final = "127.0.0.1"
_BOUNDARY: Final = "frame"
_JPEG_QUALITY: Final = 90
_CLOSE_SECONDS: Final = 1
"""How long to wait on closing for viewers that have stopped reading."""

_PAGE: Final = """<!doctype html><meta charset=utf-8><title>farm</title>
<style>body{margin:0;background:#000}img{width:100vw;height:100vh;object-fit:contain}</style>
<img src=stream alt="The latest frame">
"""


class LiveView:
    """Sends each rendered frame to every viewer; an observer of the controller.

    A new viewer starts with the latest frame, and a slow one skips frames. loop: runs the viewers'
    streams. Only on_event may be called from another thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self.port = port
        self._loop = loop
        self._latest, self._count, self._is_open = b"", 0, True
        self._changed = asyncio.Event()

    def on_event(self, event: News) -> None:
        if not isinstance(event, UnitChanged) or event.state is not UnitState.SUCCEEDED:
            return
        if event.unit.role is Role.RENDER:
            with suppress(FarmError):  # a working picture may have been removed already
                self._loop.call_soon_threadsafe(self.show, _jpeg(event.unit.target))

    def show(self, jpeg: bytes) -> None:
        """Make this the latest frame."""
        self._latest, self._count = jpeg, self._count + 1
        self._wake_streams()

    def end(self) -> None:
        """End every stream after the latest frame."""
        self._is_open = False
        self._wake_streams()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the latest frame and those that follow, as parts of a multipart response."""
        seen = 0
        while self._is_open or seen < self._count:
            if seen < self._count:
                seen = self._count
                yield _part(self._latest)
            else:
                await self._changed.wait()

    def _wake_streams(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


@contextmanager
def serve_live_view(port: int) -> Iterator[LiveView]:
    """Serve frames on this port of 127.0.0.1, in a thread, until the block ends.

    port: 0 picks a free one. Raises UserError if the port cannot be used.
    """
    with (
        _listen(port) as listener,
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
    ):
        loop = runner.get_loop()
        view = LiveView(loop, listener.getsockname()[1])
        server = Server(_config(view))
        # outside the main thread, uvicorn installs no signal handlers
        thread = Thread(
            target=runner.run, args=(_serve(server, listener),), name="farm-live", daemon=True
        )
        thread.start()
        try:
            yield view
        finally:
            loop.call_soon_threadsafe(view.end)
            server.should_exit = True
            thread.join()


async def _serve(server: Server, listener: socket) -> None:
    await server.serve(sockets=[listener])
    for connection in server.server_state.connections:  # viewers that have stopped reading
        connection.transport.abort()


def _listen(port: int) -> socket:
    try:
        return create_server((_LOOPBACK, port))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UserError(
            f"cannot show frames on port {port}: {reason}; choose another port"
        ) from error


def _config(view: LiveView) -> Config:
    """Return uvicorn's settings: no lifespan, no websockets and no logs."""

    async def page(_: Request) -> Response:
        return HTMLResponse(_PAGE)

    async def stream(_: Request) -> Response:
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        headers = {"Content-Type": kind, "Cache-Control": "no-store"}
        return StreamingResponse(view.stream(), headers=headers)

    app = Starlette(routes=[Route("/", page), Route("/stream", stream)])
    app.router.redirect_slashes = False
    return Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
    )


def _jpeg(target: str) -> bytes:
    from PIL import Image

    from farm.media import read_still, to_levels

    file = BytesIO()
    picture = Image.fromarray(to_levels(read_still(target).pixels, 8))
    picture.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _part(jpeg: bytes) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + b"\r\n"
