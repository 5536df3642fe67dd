"""Reads any frame of any film, fast near the last one read: decoders stay open and work ahead."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

from av.error import FFmpegError
from av.video.frame import VideoFrame

from farm.errors import BadInput
from farm.media.film.conversion import depth_of, pixels_of
from farm.media.film.decoding import Packets, decode, open_film, translated_errors
from farm.media.frame import Frame
from farm.model.film import Moment

__all__ = ["FilmReader"]

_DECODERS: Final = 4
_THREADS: Final = 2
"""Per decoder; several run at the same time, and rendering takes far longer."""

_AHEAD: Final = 4
_BEHIND: Final = 4
"""Frames that each decoder keeps before and after they are read."""

_KEPT_BYTES: Final = 2**28
"""Most memory for the frames that decoders keep; large frames leave fewer decoders open."""

_NEAR: Final = 100
"""Frames; seeking is faster than decoding further ahead than this."""

_SEEK_BACK: Final = (0, 2, 10, 60)
"""Seconds before a frame to start decoding, tried in order; the last resort is the film's start."""


class FilmReader:
    """Reads frames of films in any order; the order does not change them.

    Keeps at most 4 decoders open, fewer if frames are large. The decoder nearest before a frame
    continues; if none is near, a new one replaces the least recently used. Not thread-safe.
    """

    def __init__(self) -> None:
        self._decoders: list[_Decoder] = []
        """Least recently used first."""

    def read(self, url: str, moment: Moment) -> Frame:
        """Return a frame, upright, 0..1. moment: from Film.moment.

        Raises BadInput if there is no such frame, StorageFailed if the storage fails.
        """
        frame = self._from_open_decoder(url, moment) or self._from_new_decoder(url, moment)
        if frame is None:
            raise BadInput(url, f"frame {moment.index + 1} is missing; has the file changed?")
        return frame

    def close(self) -> None:
        """Close all films."""
        while self._decoders:
            self._decoders.pop().close()

    def _from_open_decoder(self, url: str, moment: Moment) -> Frame | None:
        """Return the frame from an open decoder, or None if none is near before it."""
        candidates = [d for d in self._decoders if d.url == url and d.is_near(moment)]
        if not candidates:
            return None
        decoder = max(candidates, key=lambda candidate: candidate.index)
        self._decoders.remove(decoder)
        self._decoders.append(decoder)
        return decoder.find(moment)

    def _from_new_decoder(self, url: str, moment: Moment) -> Frame | None:
        """Return the frame from a new decoder, or None if there is no such frame."""
        starts = () if moment.time is None else _SEEK_BACK
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
        while len(self._decoders) > 1 and sum(d.max_bytes for d in self._decoders) > _KEPT_BYTES:
            self._decoders.pop(0).close()


class _Decoder:
    """An open film that is decoded forwards, in its own thread.

    Identifies frames by their times, or by counting if the moments have none. back: seconds before
    the moment to start at; None for the film's start.
    """

    def __init__(self, url: str, moment: Moment, back: int | None) -> None:
        self.url = url
        self.index = -1
        self._is_counting = moment.time is None
        self._passed: deque[tuple[int, VideoFrame]] = deque(maxlen=_BEHIND)
        self._resources = ExitStack()
        threads = 1 if self._is_counting else _THREADS
        self._film = self._resources.enter_context(open_film(url, threads))
        self._frames = self._keyed_frames(moment, back)
        self._pool = ThreadPoolExecutor(1, "farm-film")
        self._ahead: deque[Future[tuple[int, VideoFrame] | None]] = deque()
        self._frame_bytes = 0

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._frames.close()
        self._resources.close()

    @property
    def max_bytes(self) -> int:
        """Most bytes of frames kept at a time."""
        return self._frame_bytes * (_BEHIND + 1 + self._max_ahead)

    @property
    def _max_ahead(self) -> int:
        """Frames to decode ahead: fewer if large, and none before their size is known."""
        share = _KEPT_BYTES // _DECODERS
        return min(_AHEAD, share // self._frame_bytes) if self._frame_bytes else 0

    def is_near(self, moment: Moment) -> bool:
        if self._is_counting != (moment.time is None):
            return False
        if moment.index > self.index:
            return self._is_counting or moment.index - self.index <= _NEAR
        return any(key == self._key(moment) for key, _ in self._passed)

    def find(self, moment: Moment) -> Frame | None:
        """Return the frame; None if decoding has passed it or the film ends before it."""
        wanted = self._key(moment)
        self.index = max(self.index, moment.index)
        for key, frame in self._passed:
            if key == wanted:
                return self._to_frame(frame)
        while (keyed_frame := self._next()) is not None:
            key, frame = keyed_frame
            self._passed.append(keyed_frame)
            self._frame_bytes = sum(plane.buffer_size for plane in frame.planes)
            if key >= wanted:
                return self._to_frame(frame) if key == wanted else None
        return None

    def _key(self, moment: Moment) -> int:
        return moment.index if moment.time is None else moment.time

    def _next(self) -> tuple[int, VideoFrame] | None:
        while len(self._ahead) <= self._max_ahead:
            self._ahead.append(self._pool.submit(next, self._frames, None))
        return self._ahead.popleft().result()

    def _keyed_frames(self, moment: Moment, back: int | None) -> Generator[tuple[int, VideoFrame]]:
        """Yield each frame with its time or number."""
        film = self._film
        packets = film.container.demux(film.stream)
        if back is not None and moment.time is not None:
            packets = self._seek(moment.time, back)
        for number, frame in enumerate(decode(film, packets)):
            if self._is_counting:
                yield number, frame
            elif frame.pts is not None:
                yield frame.pts - film.origin, frame

    def _seek(self, time: int, back: int) -> Packets:
        """Yield packets from a key frame at or before the time; none if there is none.

        Only frames at or after the key frame's time are complete: earlier ones may follow it in the
        file and depend on packets that were skipped.
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

    def _to_frame(self, frame: VideoFrame) -> Frame:
        with translated_errors(self.url):
            pixels = pixels_of(frame, self._film.height, self._film.width)
        return Frame(pixels, depth=8 if depth_of(frame) == 8 else 16)
