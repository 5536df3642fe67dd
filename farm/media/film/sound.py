"""The source's sound, beside new pictures: packets copied, or encoded where they do not fit in."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import PurePath
from typing import Any, Final, Protocol

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from farm.media.film.formats import Container, container_of
from farm.media.film.source import JUMP, opened_container, origin_of

__all__ = ["add_sound", "note_sound"]

Sound = Iterator["Packet[Any]"]

_BIT_RATE: Final = 96_000
"""Bits a second and channel of sound that is encoded."""

_LAYOUTS: Final = {1: "mono", 2: "stereo", 6: "5.1"}
"""By channels; sound of another number becomes stereo."""

_RATES: Final = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 8_000)


def note_sound(source: str, output: str) -> tuple[str, ...]:
    """Return what becomes of the source's sound in the output, where it is not copied.

    Raises BadInput where the source cannot be opened, BadOutput for a suffix not written.
    """
    container, suffix = container_of(output), PurePath(output).suffix.lower()
    notes = []
    with opened_container(source) as film:
        for number, stream in enumerate(film.streams.audio, start=1):
            if not container.encoder:
                notes.append(f"sound track {number} is left out: {suffix} holds none")
            elif stream.codec_context is None:
                notes.append(f"sound track {number} is left out: its codec is not known here")
            elif not _is_copied(stream, container):
                change = f"{_codec(stream)} becomes {container.encoder.removeprefix('lib')}"
                notes.append(f"sound track {number}: {change}, as {suffix} does not hold it")
    return tuple(notes)


def add_sound(
    out: OutputContainer,
    container: Container,
    source: InputContainer,
    span: tuple[float, float] | None,
) -> Sound:
    """Add the source's sound tracks to a film and return their packets, in order of time.

    Time 0 is where the source's index has it, so that sound keeps its place to pictures
    that start later or earlier. span: seconds of the source to take, which begin at 0 then; whole
    packets that start in it.
    """
    begin = origin_of(source)
    end = None
    if span is not None:
        first, last = (Fraction(seconds).limit_denominator(10**7) for seconds in span)
        begin, end = begin + first, begin + last
    window = _Window(begin, end, is_cut=span is not None)
    tracks: dict[int, _Track] = {}
    for stream in source.streams.audio:
        if stream.codec_context is not None:
            kind = _Copied if _is_copied(stream, container) else _Encoded
            tracks[stream.index] = kind(out, container, stream, window)
    return _packets(source, tracks)


@dataclass(frozen=True)
class _Window:
    """What is taken, in seconds of the source, from begin on; all of it where it is not cut."""

    begin: Fraction
    end: Fraction | None
    is_cut: bool

    def holds(self, time: Fraction) -> bool:
        return not self.is_cut or (self.begin <= time and (self.end is None or time < self.end))

    def ticks(self, unit: Fraction) -> int:
        return round(self.begin / unit)


class _Track(Protocol):
    def take(self, packet: "Packet[Any]") -> Sound: ...
    def finish(self) -> Sound: ...


def _is_copied(stream: AudioStream, container: Container) -> bool:
    allowed = container.sounds is None or _codec(stream) in container.sounds
    return allowed and _begins(stream, container)


def _begins(stream: AudioStream, container: Container) -> bool:
    """Say whether a file of the container begins with such a track: some rates are refused."""
    trial = av.open(BytesIO(), "w", container.name)
    try:
        trial.add_stream_from_template(stream, opaque=True)
        trial.start_encoding()
    except (FFmpegError, ValueError):
        return False
    else:
        return True
    finally:
        with suppress(FFmpegError):
            trial.close()


def _codec(stream: AudioStream) -> str:
    return stream.codec_context.codec.canonical_name


def _packets(source: InputContainer, tracks: dict[int, _Track]) -> Sound:
    if not tracks:
        return
    try:
        for packet in source.demux([source.streams[index] for index in tracks]):
            if packet.size and packet.dts is not None:
                yield from tracks[packet.stream_index].take(packet)
    except FFmpegError:
        pass  # a track that is cut short ends here
    for track in tracks.values():
        yield from track.finish()


class _Copied:
    """A track whose packets are copied, at times that rise.

    Where its clock is set back, by more than a trifle, sound goes on as if it had not been.
    """

    def __init__(
        self, out: OutputContainer, _: Container, stream: AudioStream, window: _Window
    ) -> None:
        self._stream = out.add_stream_from_template(stream, opaque=True)
        _describe(self._stream, stream)
        self._window = window
        self._last: int | None = None
        self._jumped = 0

    def take(self, packet: "Packet[Any]") -> Sound:
        assert packet.dts is not None
        start = packet.dts if packet.pts is None else packet.pts
        if not self._window.holds(start * packet.time_base):
            return
        shift = self._window.ticks(packet.time_base) - self._jumped
        decoded = packet.dts - shift
        if self._last is not None and self._last - decoded >= JUMP / packet.time_base:
            back = self._last + (packet.duration or 1) - decoded
            self._jumped, shift, decoded = self._jumped + back, shift - back, decoded + back
        packet.dts = decoded if self._last is None else max(decoded, self._last + 1)
        packet.pts = max(packet.dts, start - shift)
        packet.stream, self._last = self._stream, packet.dts
        yield packet

    def finish(self) -> Sound:
        yield from ()


class _Encoded:
    """A track that is decoded and encoded anew."""

    def __init__(
        self, out: OutputContainer, container: Container, stream: AudioStream, window: _Window
    ) -> None:
        source = stream.codec_context
        rate = source.sample_rate if source.sample_rate in _RATES else _RATES[0]
        rate = _RATES[0] if container.encoder == "libopus" else rate
        layout = _LAYOUTS.get(source.channels, "stereo")
        encoder = out.add_stream(container.encoder, rate=rate)
        assert isinstance(encoder, AudioStream)
        context = encoder.codec_context
        context.layout = layout
        context.bit_rate = _BIT_RATE * context.layout.nb_channels
        context.open()
        _describe(encoder, stream)
        self._encoder, self._decoder, self._window = encoder, source, window
        self._resampler = AudioResampler(context.format, layout, rate, context.frame_size)

    def take(self, packet: "Packet[Any]") -> Sound:
        try:
            frames = self._decoder.decode(packet)
        except FFmpegError:
            return
        for frame in frames:
            if frame.pts is None or frame.time_base is None:
                continue
            if self._window.holds(frame.pts * frame.time_base):
                frame.pts -= self._window.ticks(frame.time_base)
                yield from self._encoded(frame)

    def finish(self) -> Sound:
        yield from self._encoded(None)
        yield from self._encoder.encode(None)

    def _encoded(self, frame: AudioFrame | None) -> Sound:
        for even in self._resampler.resample(frame):
            yield from self._encoder.encode(even)


def _describe(track: Any, source: AudioStream) -> None:
    """Give the track its source's language and title."""
    for name, text in source.metadata.items():
        if name.lower() in {"language", "title"}:
            track.metadata[name] = text
