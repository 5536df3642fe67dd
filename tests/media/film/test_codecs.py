"""The format of a film: defaults by container and source, and refused choices."""

from fractions import Fraction
from typing import Any

import pytest

from farm.errors import BadOutput, BadParameter
from farm.media.film import choose_format, describe_depth_change
from farm.media.film.codecs import CODECS
from farm.model.film import Colour, Film, FilmFormat

UNIT = Fraction(1001, 30000)
PQ = Colour(9, 16, 9)
SQUARE = Fraction(1)


def film(depth: int = 8, colour: Colour = PQ, aspect: Fraction = SQUARE) -> Film:
    shape: dict[str, Any] = {"height": 64, "width": 96, "times": (0, 1), "last": 1}
    return Film("a.mov", **shape, time_base=UNIT, aspect=aspect, colour=colour, depth=depth)


def choose(output: str, codec: str | None = None, depth: int | None = None, **more: Any) -> Any:
    return choose_format(output, codec, "good", depth, **{"film": film()} | more)


def test_time_base_aspect_and_colours_come_from_the_source() -> None:
    expected = FilmFormat("h264", "good", 8, (1001, 30000), (4, 3), PQ)
    wide = film(aspect=Fraction(4, 3))
    assert choose("out.mp4", film=wide) == expected
    assert choose("OUT.MP4", film=wide) == expected


def test_stills_get_a_rate_and_default_colours() -> None:
    form = choose("out.webm", film=None, rate=Fraction(30000, 1001))
    assert form == FilmFormat("vp9", "good", 8, (1001, 30000), (1, 1), Colour(1, 1, 1))


@pytest.mark.parametrize(
    ("output", "codec"),
    [("a.mp4", "h264"), ("a.mov", "h264"), ("a.mkv", "h264"), ("a.webm", "vp9"), ("a.gif", "gif")],
)
def test_each_container_has_a_default_codec(output: str, codec: str) -> None:
    assert choose(output).codec == codec


@pytest.mark.parametrize(
    ("codec", "source_depth", "asked", "depth"),
    [
        ("h264", 10, None, 8),
        ("h264", 8, 10, 10),
        ("hevc", 8, None, 8),
        ("hevc", 10, None, 10),
        ("av1", 12, None, 10),
        ("ffv1", 8, None, 8),
        ("ffv1", 10, None, 16),
        ("vp9", 10, None, 8),
    ],
)
def test_the_default_depth_keeps_the_sources_if_the_codec_can(
    codec: str, source_depth: int, asked: int | None, depth: int
) -> None:
    assert choose("a.mkv", codec, asked, film=film(source_depth)).depth == depth


@pytest.mark.parametrize(
    ("codec", "source_depth", "notes"),
    [
        ("h264", 10, ("10 bits per sample are reduced to 8; --depth 10 keeps more",)),
        ("vp9", 10, ("10 bits per sample are reduced to 8",)),
        ("hevc", 12, ("12 bits per sample are reduced to 10",)),
        ("hevc", 10, ()),
        ("ffv1", 8, ()),
    ],
)
def test_a_reduced_depth_is_noted(codec: str, source_depth: int, notes: tuple[str, ...]) -> None:
    deep = film(source_depth)
    assert describe_depth_change(deep, choose("a.mkv", codec, film=deep)) == notes


def test_rgb_has_no_matrix_and_yuv_always_has_one() -> None:
    assert choose("a.mkv", "ffv1").colour == Colour(9, 16, 0, is_full=True)
    rgb = film(colour=Colour(1, 13, 0, is_full=True))
    assert choose("a.mp4", film=rgb).colour == Colour(1, 1, 1)


@pytest.mark.parametrize(
    ("output", "codec", "depth", "message"),
    [
        ("a.webm", "h264", None, r"codec: 'h264' cannot be written to \.webm; use vp9 or av1"),
        (
            "a.mp4",
            "ffv1",
            None,
            r"codec: 'ffv1' cannot be written to \.mp4; use h264, hevc or av1",
        ),
        ("a.gif", "vp9", None, r"'vp9' cannot be written to \.gif; use gif"),
        ("a.mp4", None, 16, r"depth: h264 supports 8 or 10 bits per sample, not 16"),
        ("a.webm", None, 10, r"depth: vp9 supports 8 bits per sample, not 10"),
        ("a.mkv", "ffv1", 10, r"depth: ffv1 supports 8 or 16 bits per sample, not 10"),
    ],
)
def test_an_unsupported_codec_or_depth_is_refused(
    output: str, codec: str | None, depth: int | None, message: str
) -> None:
    with pytest.raises(BadParameter, match=message):
        choose(output, codec, depth)


def test_a_gif_is_refused_if_pixels_are_not_square() -> None:
    wide = film(aspect=Fraction(4, 3))
    message = r"a\.gif: GIF pixels are square, the film's are 4:3; give one of \.mp4, \.mov, "
    with pytest.raises(BadOutput, match=message):
        choose("a.gif", film=wide)
    assert choose("a.webm", film=wide).aspect == (4, 3)


@pytest.mark.parametrize(
    ("codec", "option", "usual", "of_16_megabytes", "of_100_megabytes"),
    [
        ("h264", "x264-params", "rc-lookahead=40", "rc-lookahead=16", "rc-lookahead=8"),
        ("hevc", "x265-params", "rc-lookahead=20", "rc-lookahead=16", "rc-lookahead=8"),
        ("vp9", "lag-in-frames", "25", "16", "8"),
    ],
)
def test_encoders_look_ahead_at_fewer_large_frames(
    codec: str, option: str, usual: str, of_16_megabytes: str, of_100_megabytes: str
) -> None:
    for frame_bytes, expected in ((10**5, usual), (2**24, of_16_megabytes)):
        assert CODECS[codec].options_for("good", frame_bytes)[option].endswith(expected)
    assert CODECS[codec].options_for("good", 10**8)[option].endswith(of_100_megabytes)


def test_an_unknown_suffix_or_quality_is_refused() -> None:
    with pytest.raises(BadOutput, match=r"a\.avi: its suffix must be one of \.mp4, \.mov"):
        choose("a.avi")
    with pytest.raises(BadParameter, match="'superb' is unknown; choose draft, good or best"):
        choose_format("a.mp4", None, "superb", None, film=None)  # type: ignore[arg-type]
