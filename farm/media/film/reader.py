"""Any frame of any film, quickly if it is near the last one: decoders stay open and run ahead."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

from av.error import FFmpegError
from av.video.frame import VideoFrame

from farm.errors import BadInput
from farm.media.film.pixels import depth_of, pixels_of
from farm.media.film.source import Packets, decode, opened, refusals
from farm.media.frame import Frame
from farm.model.film import Moment

__all__ = ["FilmReader"]

_DECODERS: Final = 4
_THREADS: Final = 2
"""Of one decoder: others run beside it, and rendering takes far longer."""

_AHEAD: Final = 4
_BEHIND: Final = 4
"""Frames of each decoder that are kept before they are asked for, and after."""

_KEPT_BYTES: Final = 2**28
"""Of the frames that all decoders keep; with more, fewer are open and run ahead less."""

_NEAR: Final = 100
"""Frames: further ahead than this it is quicker to seek."""

_STEPS_BACK: Final = (0, 2, 10, 60)
"""Seconds before a frame where decoding may begin; if none will do, at the film's beginning."""


class FilmReader:
    """Reads frames of films in any order, each the same however it is reached.

    At most 4 decoders are open at a time, fewer where frames are large; the one that stands nearest
    before a frame goes on, or the one that was used longest ago gives way. To be used by one
    thread.
    """

    def __init__(self) -> None:
        self._decoders: list[_Decoder] = []
        """In order of use, the latest last."""

    def read(self, url: str, moment: Moment) -> Frame:
        """Return a frame, upright, 0..1. moment: as the film's index has it.

        Raises BadInput where there is no such frame, StorageFailed where reading failed.
        """
        frame = self._near(url, moment) or self._far(url, moment)
        if frame is None:
            raise BadInput(url, f"frame {moment.index + 1} is not there; has the file changed?")
        return frame

    def close(self) -> None:
        """Close all films."""
        while self._decoders:
            self._decoders.pop().close()

    def _near(self, url: str, moment: Moment) -> Frame | None:
        """Return the frame from an open decoder, or None where none is near before it."""
        candidates = [d for d in self._decoders if d.url == url and d.is_near(moment)]
        if not candidates:
            return None
        decoder = max(candidates, key=lambda candidate: candidate.index)
        self._decoders.remove(decoder)
        self._decoders.append(decoder)
        return decoder.find(moment)

    def _far(self, url: str, moment: Moment) -> Frame | None:
        """Return the frame from a new decoder, or None where there is no such frame."""
        starts = () if moment.time is None else _STEPS_BACK
        for back in (*starts, None):
            while len(self._decoders) >= _DECODERS:
                self._decoders.pop(0).close()
            decoder = _Decoder(url, moment, back)
            if (frame := decoder.find(moment)) is not None:
                self._keep(decoder)
                return frame
            decoder.close()
        return None

    def _keep(self, decoder: "_Decoder") -> None:
        self._decoders.append(decoder)
        while len(self._decoders) > 1 and sum(d.most_bytes for d in self._decoders) > _KEPT_BYTES:
            self._decoders.pop(0).close()


class _Decoder:
    """One open film that is decoded forwards, in a thread of its own.

    Frames are told apart by their times, or counted where moments have none. back: seconds before
    the moment to begin at; None for the film's beginning.
    """

    def __init__(self, url: str, moment: Moment, back: int | None) -> None:
        self.url = url
        self.index = -1
        self._is_counting = moment.time is None
        self._passed: deque[tuple[int, VideoFrame]] = deque(maxlen=_BEHIND)
        self._open = ExitStack()
        self._film = self._open.enter_context(opened(url, 1 if self._is_counting else _THREADS))
        self._frames = self._numbered(moment, back)
        self._pool = ThreadPoolExecutor(1, "farm-film")
        self._ahead: deque[Future[tuple[int, VideoFrame] | None]] = deque()
        self._frame_bytes = 0

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._frames.close()
        self._open.close()

    @property
    def most_bytes(self) -> int:
        """Bytes of all frames that are kept at a time."""
        return self._frame_bytes * (_BEHIND + 1 + self._most_ahead)

    @property
    def _most_ahead(self) -> int:
        """Frames ahead: few of large ones, and none before their size is known."""
        share = _KEPT_BYTES // _DECODERS
        return min(_AHEAD, share // self._frame_bytes) if self._frame_bytes else 0

    def is_near(self, moment: Moment) -> bool:
        if self._is_counting != (moment.time is None):
            return False
        if moment.index > self.index:
            return self._is_counting or moment.index - self.index <= _NEAR
        return any(mark == self._mark(moment) for mark, _ in self._passed)

    def find(self, moment: Moment) -> Frame | None:
        """Return the frame; None where decoding has passed or never comes to it."""
        wanted = self._mark(moment)
        self.index = max(self.index, moment.index)
        for mark, frame in self._passed:
            if mark == wanted:
                return self._as_frame(frame)
        while (found := self._next()) is not None:
            self._passed.append(found)
            self._frame_bytes = sum(plane.buffer_size for plane in found[1].planes)
            if found[0] >= wanted:
                return self._as_frame(found[1]) if found[0] == wanted else None
        return None

    def _mark(self, moment: Moment) -> int:
        return moment.index if moment.time is None else moment.time

    def _next(self) -> tuple[int, VideoFrame] | None:
        while len(self._ahead) <= self._most_ahead:
            self._ahead.append(self._pool.submit(next, self._frames, None))
        return self._ahead.popleft().result()

    def _numbered(self, moment: Moment, back: int | None) -> Generator[tuple[int, VideoFrame]]:
        """Yield frames, each with its time or number."""
        film = self._film
        packets = film.container.demux(film.stream)
        if back is not None and moment.time is not None:
            packets = self._sought(moment.time, back)
        for number, frame in enumerate(decode(film, packets)):
            if self._is_counting:
                yield number, frame
            elif frame.pts is not None:
                yield frame.pts - film.origin, frame

    def _sought(self, time: int, back: int) -> Packets:
        """Yield packets from a key frame that is not after the time; none where there is none.

        Only frames from its own time on are sure to be whole: some before it may follow it in the
        file and need what was skipped.
        """
        film, stream = self._film, self._film.stream
        wanted = time + film.origin
        try:
            film.container.seek(wanted - round(back / film.time_base), stream=stream)
        except FFmpegError:
            return
        packets = film.container.demux(stream)
        for packet in packets:
            if packet.is_keyframe:
                if packet.pts is not None and packet.pts <= wanted:
                    yield packet
                    yield from packets
                return

    def _as_frame(self, frame: VideoFrame) -> Frame:
        with refusals(self.url):
            pixels = pixels_of(frame, self._film.height, self._film.width)
        return Frame(pixels, depth=8 if depth_of(frame) == 8 else 16)
