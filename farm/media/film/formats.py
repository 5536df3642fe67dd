"""How films are written: which codecs go into which container, and what quality means to each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import PurePath
from typing import Final, get_args

from farm.errors import BadOutput, BadParameter
from farm.media.film.matrices import MATRICES
from farm.model.film import Colour, Film, FilmFormat, Quality

__all__ = [
    "CODECS",
    "CONTAINERS",
    "Codec",
    "Container",
    "choose_format",
    "container_of",
    "note_depth",
]

_THREADS: Final = 4
_X265: Final = "log-level=none:open-gop=0:wpp=1:pools=4:frame-threads=2:rc-lookahead={ahead}"

_AHEAD_BYTES: Final = 2**28
"""Of the frames that an encoder looks ahead at."""

_LEAST_AHEAD: Final = 8
"""Frames; with fewer, encoders run out of those that are coded from both sides."""


@dataclass(frozen=True)
class Codec:
    """What a codec takes. pixels: libav's name of the samples for each depth, bits.

    encoder: libav's name. default: depth where none is asked for; None for the source's.
    options: the encoder's, and those of each quality; {ahead} stands for frames looked ahead at.
    ahead: how many these are for each quality, where frames are not large. is_even: sides are whole pairs of pixels.
    is_left: a chroma sample stands at the left one of its two columns, not between them.
    """

    encoder: str
    pixels: Mapping[int, str]
    options: Mapping[str, str]
    qualities: Mapping[Quality, Mapping[str, str]]
    ahead: Mapping[Quality, int] = field(default_factory=dict)
    default: int | None = None
    is_even: bool = False
    is_left: bool = False
    threads: int = _THREADS

    @property
    def is_rgb(self) -> bool:
        return self.pixels[8] == _RGB[8]

    def options_for(self, quality: Quality, frame_bytes: int) -> dict[str, str]:
        """Return the encoder's options for frames of so many bytes."""
        most = max(_LEAST_AHEAD, _AHEAD_BYTES // frame_bytes)
        ahead = min(self.ahead.get(quality, most), most)
        options = {**self.options, **self.qualities[quality]}
        return {name: text.format(ahead=ahead) for name, text in options.items()}


@dataclass(frozen=True)
class Container:
    """What a container takes. name: libav's. codecs: the first one is the default.

    sounds: codecs of sound that are copied; None for all. encoder: what other sound becomes.
    """

    name: str
    codecs: tuple[str, ...]
    sounds: frozenset[str] | None = frozenset()
    encoder: str = ""


_YUV: Final = {8: "yuv420p", 10: "yuv420p10le"}
_RGB: Final = {8: "bgr0", 16: "gbrp16le"}


def _steps(*names: str, draft: str, good: str, best: str) -> dict[Quality, Mapping[str, str]]:
    """Return each quality's options: values for the names, with spaces between."""
    return {
        "draft": dict(zip(names, draft.split(), strict=True)),
        "good": dict(zip(names, good.split(), strict=True)),
        "best": dict(zip(names, best.split(), strict=True)),
    }


_LOSSLESS: Final = _steps(draft="", good="", best="")

CODECS: Final[Mapping[str, Codec]] = {
    "h264": Codec(
        "libx264",
        _YUV,
        # cpu-independent: else AVX-512 makes equal input differ now and then
        {"x264-params": "cpu-independent=1:rc-lookahead={ahead}"},
        _steps("crf", "preset", draft="26 veryfast", good="18 medium", best="14 slow"),
        {"draft": 10, "good": 40, "best": 50},
        default=8,
        is_even=True,
        is_left=True,
    ),
    "hevc": Codec(
        "libx265",
        _YUV,
        {"x265-params": _X265},
        _steps("crf", "preset", draft="28 veryfast", good="20 medium", best="16 slow"),
        {"draft": 15, "good": 20, "best": 25},
        is_even=True,
        is_left=True,
    ),
    "av1": Codec(
        "libsvtav1",
        _YUV,
        {"svtav1-params": "lp=2"},
        _steps("crf", "preset", draft="42 10", good="24 7", best="18 5"),
    ),
    "vp9": Codec(
        "libvpx-vp9",
        {8: "yuv420p"},
        {
            "b": "0",
            "row-mt": "1",
            "tile-columns": "2",
            "deadline": "good",
            "lag-in-frames": "{ahead}",
        },
        _steps("crf", "cpu-used", draft="38 6", good="24 4", best="16 2"),
        {"draft": 25, "good": 25, "best": 25},
    ),
    "ffv1": Codec(
        "ffv1", _RGB, {"level": "3", "slices": "12", "slicecrc": "1", "g": "1"}, _LOSSLESS
    ),
    "gif": Codec("ffv1", {8: "bgr0"}, {"level": "3", "slices": "12", "g": "1"}, _LOSSLESS),
}
"""Codecs by name. A GIF's parts are lossless: its palette is known when all frames are."""

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
    """Return the container that the output's suffix names. Raises BadOutput."""
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
    """Return how a film is written: as asked, else as fits the output and the source.

    codec, depth: None to choose; depth is in bits a sample. film: where time base, pixel aspect
    and colours come from; for stills None, and rate is their frames a second.

    Raises BadOutput for a suffix that is not written, BadParameter for what does not fit.
    """
    codec = _codec(output, codec)
    if film:
        _check_aspect(output, codec, film.aspect)
    if quality not in get_args(Quality):
        raise BadParameter("quality", f"{quality!r}; choose {_either(get_args(Quality))}")
    chosen = _depth(codec, depth, film.depth if film else 8)
    unit = film.time_base if film else 1 / rate
    aspect = film.aspect if film else Fraction(1)
    return FilmFormat(
        codec,
        quality,
        chosen,
        (unit.numerator, unit.denominator),
        (aspect.numerator, aspect.denominator),
        _colour(codec, film),
    )


def _codec(output: str, codec: str | None) -> str:
    allowed = container_of(output).codecs
    if codec is not None and codec not in allowed:
        suffix = PurePath(output).suffix.lower()
        raise BadParameter(
            "codec", f"{codec!r} is not written to {suffix}; give {_either(allowed)}"
        )
    return codec or allowed[0]


def _check_aspect(output: str, codec: str, aspect: Fraction) -> None:
    if aspect != 1 and codec == "gif":
        found, others = f"{aspect.numerator}:{aspect.denominator}", [*CONTAINERS][:-1]
        reason = f"a GIF's pixels are square, the film's are {found}"
        raise BadOutput(output, f"{reason}; give one of {', '.join(others)}")


def _depth(codec: str, depth: int | None, of_source: int) -> int:
    """Return the depth as asked, or the least one that holds the source."""
    held = CODECS[codec].pixels
    if depth is not None and depth not in held:
        raise BadParameter("depth", f"{codec} holds {_either(held)} bits a sample, not {depth}")
    enough = [bits for bits in sorted(held) if bits >= of_source]
    return depth or CODECS[codec].default or (enough[0] if enough else max(held))


def note_depth(film: Film, form: FilmFormat) -> tuple[str, ...]:
    """Return what becomes of the film's depth in the format, where it is not kept."""
    if form.depth >= film.depth:
        return ()
    deeper = max(CODECS[form.codec].pixels)
    hint = f"; --depth {deeper} keeps more" if deeper > form.depth else ""
    return (f"{film.depth} bits a sample become {form.depth}{hint}",)


def _colour(codec: str, film: Film | None) -> Colour:
    source = film.colour if film else Colour(1, 1, 1)
    if CODECS[codec].is_rgb:
        return Colour(source.primaries, source.transfer, 0, is_full=True)
    return source if source.matrix in MATRICES else Colour(1, 1, 1)


def _either(names: Iterable[object]) -> str:
    *others, last = map(str, names)
    return f"{', '.join(others)} or {last}" if others else last
