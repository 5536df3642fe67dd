"""A viewer sees the latest frame and each one after it, until the job ends."""

import asyncio
import logging
import signal
import socket
import urllib.request
from io import BytesIO
from pathlib import Path
from threading import enumerate as running_threads
from time import monotonic
from typing import BinaryIO

import numpy as np
import psutil
import pytest
from PIL import Image

from farm.cli.live import LiveView, serve_live_view
from farm.errors import UserError
from farm.media import Frame, write_working
from farm.model.events import UnitChanged
from farm.model.unit import Unit, UnitState

LIGHT = 200


def finished(folder: Path, number: int, red: int) -> UnitChanged:
    pixels = np.full((24, 32, 3), [red / 255, 0.5, 0.1], np.float32)
    target = str(folder / f"{number}.tif")
    write_working(target, Frame(pixels), {})
    return UnitChanged(Unit("job", str(number), "", target), UnitState.SUCCEEDED, 1)


def open_url(view: LiveView, path: str) -> BinaryIO:
    return urllib.request.urlopen(f"http://127.0.0.1:{view.port}{path}", timeout=20)


def next_picture(stream: BinaryIO) -> Image.Image:
    length = 0
    while line := stream.readline().strip():
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    picture = Image.open(BytesIO(stream.read(length)))
    stream.readline()
    return picture


def red_of(picture: Image.Image) -> int:
    return int(np.asarray(picture)[..., 0].mean().round())


def test_frames_are_streamed_as_they_are_rendered(tmp_path: Path) -> None:
    with serve_live_view(0) as view:
        view.on_event(finished(tmp_path, 1, 40))
        with open_url(view, "/stream") as stream:
            kind = stream.headers["Content-Type"]
            assert kind.startswith("multipart/x-mixed-replace")
            assert red_of(next_picture(stream)) == pytest.approx(40, abs=3)
            view.on_event(finished(tmp_path, 2, LIGHT))
            assert red_of(next_picture(stream)) == pytest.approx(LIGHT, abs=3)


def test_closing_ends_streams_and_the_thread(tmp_path: Path) -> None:
    with serve_live_view(0) as view:
        view.on_event(finished(tmp_path, 1, 40))
        stream = open_url(view, "/stream")
        next_picture(stream)
    assert stream.read() == b""
    stream.close()
    assert "farm-live" not in {thread.name for thread in running_threads()}


def test_closing_does_not_wait_for_a_viewer_that_stopped_reading() -> None:
    with socket.socket() as viewer, serve_live_view(0) as view:
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer.connect(("127.0.0.1", view.port))
        viewer.sendall(b"GET /stream HTTP/1.1\r\nHost: farm\r\n\r\n")
        assert viewer.recv(64).startswith(b"HTTP/1.1 200")
        view._loop.call_soon_threadsafe(view.show, bytes(2**25))
        while viewer.recv(4096).strip(b"\0"):
            pass
        closing = monotonic()
    assert monotonic() - closing < 5


def test_a_new_viewer_starts_with_the_latest_frame(tmp_path: Path) -> None:
    with serve_live_view(0) as view:
        view.on_event(finished(tmp_path, 1, 40))
        view.on_event(finished(tmp_path, 2, LIGHT))
        with open_url(view, "/stream") as stream:
            assert red_of(next_picture(stream)) == pytest.approx(LIGHT, abs=3)


def test_a_slow_viewer_skips_frames() -> None:
    async def watch() -> list[bytes]:
        view = LiveView(asyncio.get_running_loop(), port=0)
        stream, parts = view.stream(), []
        for jpegs in ((b"one",), (b"two", b"three")):
            for jpeg in jpegs:
                view.show(jpeg)
            parts.append(await anext(stream))
        view.end()
        return [*parts, *[part async for part in stream]]

    assert [part.split()[-1] for part in asyncio.run(watch())] == [b"one", b"three"]


@pytest.mark.parametrize("path", ["/../etc/passwd", "/stream/", "/index.html", "//"])
def test_the_page_shows_the_stream_and_other_paths_are_not_found(path: str) -> None:
    with serve_live_view(0) as view:
        with open_url(view, "/") as page:
            assert page.headers["Content-Type"].startswith("text/html")
            assert b"<img src=stream" in page.read()
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            open_url(view, path)
        refused.value.close()


def test_a_frame_that_is_already_removed_is_skipped(tmp_path: Path) -> None:
    removed = finished(tmp_path, 1, 40)
    Path(removed.unit.target).unlink()
    with serve_live_view(0) as view:
        view.on_event(removed)
        view.on_event(finished(tmp_path, 2, LIGHT))
        with open_url(view, "/stream") as stream:
            assert red_of(next_picture(stream)) == pytest.approx(LIGHT, abs=3)


def test_the_socket_listens_on_the_loopback_address_only() -> None:
    with serve_live_view(0) as view:
        own = psutil.Process().net_connections("inet")
        listening = [c.laddr.ip for c in own if c.status == "LISTEN" and c.laddr.port == view.port]
    assert listening == ["127.0.0.1"]


def test_only_the_loopback_address_answers() -> None:
    with serve_live_view(0) as view:
        socket.create_connection(("127.0.0.1", view.port), timeout=20).close()
        with pytest.raises(OSError, match=r".+"):  # every address answers a socket on 0.0.0.0
            socket.create_connection(("127.0.0.2", view.port), timeout=20)


def test_a_taken_port_is_refused() -> None:
    message = "cannot show frames on port {}: Address already in use; choose another port"
    with serve_live_view(0) as view:
        with pytest.raises(UserError) as refused, serve_live_view(view.port):
            pass
        assert str(refused.value) == message.format(view.port)


def test_serving_logs_nothing_and_leaves_signal_handlers_alone(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    before = handlers()
    with caplog.at_level(logging.DEBUG), serve_live_view(0) as view:
        with open_url(view, "/") as page:
            page.read()
        assert handlers() == before
    uvicorn = [record for record in caplog.records if record.name.startswith("uvicorn")]
    assert uvicorn == []
    assert capfd.readouterr() == ("", "")
