"""Whoever looks sees the latest frame, and each one after it, until the job ends."""

import urllib.request
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from farm.cli.live import Live
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


def test_frames_are_streamed_as_they_are_made(tmp_path: Path) -> None:
    live = Live()
    port, close = live.serve(0)
    live.on_event(finished(tmp_path, 1, 40))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stream", timeout=20) as stream:
        assert stream.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        assert red_of(next_picture(stream)) == pytest.approx(40, abs=3)
        live.on_event(finished(tmp_path, 2, LIGHT))
        assert red_of(next_picture(stream)) == pytest.approx(LIGHT, abs=3)
        ending = Thread(target=close)
        ending.start()
        assert stream.read() == b""
        ending.join()


def test_the_page_shows_the_stream_and_there_is_nothing_else() -> None:
    port, close = Live().serve(0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as page:
        assert b"<img src=stream" in page.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/../etc/passwd", timeout=20)
    close()


def test_a_frame_that_is_used_up_already_is_passed_over(tmp_path: Path) -> None:
    live, event = Live(), finished(tmp_path, 1, 40)
    Path(event.unit.target).unlink()
    live.on_event(event)
    live.on_event(finished(tmp_path, 2, LIGHT))
    picture, seen = live.next_after(0)
    assert seen == 1
    assert red_of(Image.open(BytesIO(picture))) == pytest.approx(LIGHT, abs=3)


def test_a_taken_port_is_refused() -> None:
    port, close = Live().serve(0)
    with pytest.raises(UserError, match=f"cannot show frames on port {port}: .*; choose another"):
        Live().serve(port)
    close()
