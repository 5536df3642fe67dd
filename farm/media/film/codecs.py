"""The containers and codecs that films are written in, and the options for each quality."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import PurePath
from typing import Final, get_args

from farm.errors import BadOutput, BadParameter
from farm.media.film.colour_matrices import MATRICES
from farm.model.film import Colour, Film, FilmFormat, Quality

__all__ = [
    "CODECS",
    "CONTAINERS",
    "Codec",
    "Container",
    "check_size",
    "choose_format",
    "container_of",
    "describe_depth_change",
    "describe_padding",
]

_THREADS: Final = 4
_X265: Final = "log-level=none:open-gop=0:wpp=1:pools=4:frame-threads=2:rc-lookahead={lookahead}"

_LOOKAHEAD_BYTES: Final = 2**28
"""Most memory for the frames that an encoder looks ahead at."""

_MAX_AREA: Final = 2**28
_MARGIN: Final = 128
"""FFmpeg refuses frames whose sides plus a margin of 128 span 2**28 pixels or more."""

_MIN_LOOKAHEAD: Final = 8
"""Frames; with fewer, encoders run out of frames to predict from both sides."""


@dataclass(frozen=True)
class Codec:
    """How a codec encodes.

    encoder: libav's name. pixel_formats: libav's names, by bits per sample. options: for the
    encoder; each quality adds its own. {lookahead} stands for the frames to look ahead at.
    lookahead: frames for each quality, unless the frames are large. default_depth: None for the
    source's depth. has_even_sides: height and width are even. has_left_chroma: a chroma sample is
    at the left of its two columns, not between them. min_side, max_width, max_height: in pixels, as
    the encoders accept them.
    """

    encoder: str
    pixel_formats: Mapping[int, str]
    options: Mapping[str, str]
    quality_options: Mapping[Quality, Mapping[str, str]]
    lookahead: Mapping[Quality, int] = field(default_factory=dict)
    default_depth: int | None = None
    has_even_sides: bool = False
    has_left_chroma: bool = False
    min_side: int = 1
    max_width: int = 65535
    max_height: int = 65535
    threads: int = _THREADS

    @property
    def is_rgb(self) -> bool:
        return self.pixel_formats[8] == _RGB[8]

    def options_for(self, quality: Quality, frame_bytes: int) -> dict[str, str]:
        """Return the encoder's options for frames of the given size."""
        limit = max(_MIN_LOOKAHEAD, _LOOKAHEAD_BYTES // frame_bytes)
        lookahead = min(self.lookahead.get(quality, limit), limit)
        options = {**self.options, **self.quality_options[quality]}
        return {name: text.format(lookahead=lookahead) for name, text in options.items()}


@dataclass(frozen=True)
class Container:
    """What a container can store.

    name: libav's. codecs: the first is the default. sound_codecs: those copied as they are; None
    for all. sound_encoder: converts any other sound; empty if the container has no sound.
    """

    name: str
    codecs: tuple[str, ...]
    sound_codecs: frozenset[str] | None = frozenset()
    sound_encoder: str = ""


_YUV: Final = {8: "yuv420p", 10: "yuv420p10le"}
_RGB: Final = {8: "bgr0", 16: "gbrp16le"}


def _by_quality(*names: str, draft: str, good: str, best: str) -> dict[Quality, Mapping[str, str]]:
    """Return the options of each quality from its values for the names, separated by spaces."""
    return {
        "draft": dict(zip(names, draft.split(), strict=True)),
        "good": dict(zip(names, good.split(), strict=True)),
        "best": dict(zip(names, best.split(), strict=True)),
    }


_LOSSLESS: Final = _by_quality(draft="", good="", best="")

CODECS: Final[Mapping[str, Codec]] = {
    "h264": Codec(
        "libx264",
        _YUV,
        # without cpu-independent, AVX-512 sometimes gives different bytes for the same input
        {"x264-params": "cpu-independent=1:rc-lookahead={lookahead}"},
        _by_quality("crf", "preset", draft="26 veryfast", good="18 medium", best="14 slow"),
        {"draft": 10, "good": 40, "best": 50},
        default_depth=8,
        has_even_sides=True,
        has_left_chroma=True,
        max_width=16384,
        max_height=16384,
    ),
    "hevc": Codec(
        "libx265",
        _YUV,
        {"x265-params": _X265},
        _by_quality("crf", "preset", draft="28 veryfast", good="20 medium", best="16 slow"),
        {"draft": 15, "good": 20, "best": 25},
        has_even_sides=True,
        has_left_chroma=True,
        min_side=15,
    ),
    "av1": Codec(
        "libsvtav1",
        _YUV,
        {"svtav1-params": "lp=2"},
        _by_quality("crf", "preset", draft="42 10", good="24 7", best="18 5"),
        min_side=4,
        max_width=16384,
        max_height=8704,
    ),
    "vp9": Codec(
        "libvpx-vp9",
        {8: "yuv420p"},
        {
            "b": "0",
            "row-mt": "1",
            "tile-columns": "2",
            "deadline": "good",
            "lag-in-frames": "{lookahead}",
        },
        _by_quality("crf", "cpu-used", draft="38 6", good="24 4", best="16 2"),
        {"draft": 25, "good": 25, "best": 25},
    ),
    "ffv1": Codec(
        "ffv1",
        _RGB,
        {"level": "3", "slices": "12", "slicecrc": "1", "g": "1"},
        _LOSSLESS,
        min_side=4,
    ),
    "gif": Codec(
        "ffv1", {8: "bgr0"}, {"level": "3", "slices": "12", "g": "1"}, _LOSSLESS, min_side=4
    ),
}
"""Codecs by name. The parts of a GIF are lossless, as its palette needs all frames."""

_MP4_SOUNDS: Final = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
_MOV_SOUNDS: Final = frozenset({"aac", "ac3", "alac", "eac3", "mp3", "pcm_s16le", "pcm_s24le"})

CONTAINERS: Final[Mapping[str, Container]] = {
    ".mp4": Container("mp4", ("h264", "hevc", "av1"), _MP4_SOUNDS, "aac"),
    ".mov": Container("mov", ("h264", "hevc"), _MOV_SOUNDS, "aac"),
    ".mkv": Container("matroska", ("h264", "hevc", "av1", "vp9", "ffv1"), None, "libopus"),
    ".webm": Container("webm", ("vp9", "av1"), frozenset({"opus", "vorbis"}), "libopus"),
    ".gif": Container("gif", ("gif",)),
}
"""Containers by suffix."""


def container_of(output: str) -> Container:
    """Return the container for the output's suffix. Raises BadOutput."""
    suffix = PurePath(output).suffix.lower()
    if suffix not in CONTAINERS:
        raise BadOutput(output, f"its suffix must be one of {', '.join(CONTAINERS)}")
    return CONTAINERS[suffix]


def choose_format(
    output: str,
    codec: str | None,
    quality: Quality,
    depth: int | None,
    *,
    film: Film | None,
    rate: Fraction = Fraction(25),
) -> FilmFormat:
    """Return the format to write a film in.

    codec, depth: None to choose by output and source; depth is in bits per sample. film: the
    source of time base, pixel aspect and colours; None for stills, which are shown at rate frames
    per second.

    Raises BadOutput for a suffix that cannot be written, BadParameter for an unsupported choice.
    """
    codec = _choose_codec(output, codec)
    if film:
        _check_aspect(output, codec, film.aspect)
    if quality not in get_args(Quality):
        allowed = _alternatives(get_args(Quality))
        raise BadParameter("quality", f"{quality!r} is unknown; choose {allowed}")
    time_base = film.time_base if film else 1 / rate
    aspect = film.aspect if film else Fraction(1)
    return FilmFormat(
        codec,
        quality,
        _choose_depth(codec, depth, film.depth if film else 8),
        (time_base.numerator, time_base.denominator),
        (aspect.numerator, aspect.denominator),
        _choose_colour(codec, film),
    )


def _choose_codec(output: str, codec: str | None) -> str:
    allowed = container_of(output).codecs
    if codec is not None and codec not in allowed:
        suffix = PurePath(output).suffix.lower()
        reason = f"{codec!r} cannot be written to {suffix}; use {_alternatives(allowed)}"
        raise BadParameter("codec", reason)
    return codec or allowed[0]


def _check_aspect(output: str, codec: str, aspect: Fraction) -> None:
    if aspect != 1 and codec == "gif":
        *others, _ = CONTAINERS
        reason = f"GIF pixels are square, the film's are {aspect.numerator}:{aspect.denominator}"
        raise BadOutput(output, f"{reason}; give one of {', '.join(others)}")


def _choose_depth(codec: str, depth: int | None, source_depth: int) -> int:
    """Return the requested depth, or the smallest one that keeps the source's."""
    supported = CODECS[codec].pixel_formats
    if depth is not None and depth not in supported:
        allowed = _alternatives(supported)
        raise BadParameter("depth", f"{codec} supports {allowed} bits per sample, not {depth}")
    sufficient = [bits for bits in sorted(supported) if bits >= source_depth]
    fitting = sufficient[0] if sufficient else max(supported)
    return depth or CODECS[codec].default_depth or fitting


def describe_depth_change(film: Film, film_format: FilmFormat) -> tuple[str, ...]:
    """Return a note if the format has fewer bits per sample than the film."""
    if film_format.depth >= film.depth:
        return ()
    deepest = max(CODECS[film_format.codec].pixel_formats)
    hint = f"; --depth {deepest} keeps more" if deepest > film_format.depth else ""
    return (f"{film.depth} bits per sample are reduced to {film_format.depth}{hint}",)


def check_size(output: str, codec: str, height: int, width: int) -> None:
    """Raise BadOutput if a codec cannot encode pictures of this size."""
    limits = CODECS[codec]
    is_large = height > limits.max_height or width > limits.max_width
    if min(height, width) < limits.min_side:
        bound = f"needs at least {limits.min_side} per side"
    elif is_large or (height + _MARGIN) * (width + _MARGIN) >= _MAX_AREA:
        bound = (
            f"allows at most {limits.max_width}x{limits.max_height}, and about 268 million in all"
        )
    else:
        return
    reason = f"{width}x{height} pixels, but {codec} {bound}"
    raise BadOutput(output, f"{reason}; choose another --codec, or frame_%05d.png")


def describe_padding(codec: str, height: int, width: int) -> tuple[str, ...]:
    """Return a note if the codec repeats a row or a column, because it needs even sides."""
    even_height, even_width = height + height % 2, width + width % 2
    if not CODECS[codec].has_even_sides or (even_height, even_width) == (height, width):
        return ()
    rows = ["the last row"] * (height % 2) + ["the last column"] * (width % 2)
    reason = f"{codec} needs even sides, so {width}x{height} becomes {even_width}x{even_height}"
    return (
        f"{' and '.join(rows)} of pixels {'is' if len(rows) == 1 else 'are'} repeated: {reason}",
    )


def _choose_colour(codec: str, film: Film | None) -> Colour:
    source = film.colour if film else Colour(1, 1, 1)
    if CODECS[codec].is_rgb:
        return Colour(source.primaries, source.transfer, 0, is_full=True)
    return source if source.matrix in MATRICES else Colour(1, 1, 1)


def _alternatives(names: Iterable[object]) -> str:
    *others, last = map(str, names)
    return f"{', '.join(others)} or {last}" if others else last
