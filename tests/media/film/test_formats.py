"""What is written where nothing is asked for, and what cannot be asked for."""

from fractions import Fraction
from typing import Any

import pytest

from farm.errors import BadOutput, BadParameter
from farm.media.film import choose_format, note_depth
from farm.media.film.formats import CODECS
from farm.model.film import Colour, Film, FilmFormat

UNIT = Fraction(1001, 30000)
PQ = Colour(9, 16, 9)
SQUARE = Fraction(1)


def film(depth: int = 8, colour: Colour = PQ, aspect: Fraction = SQUARE) -> Film:
    shape: dict[str, Any] = {"height": 64, "width": 96, "times": (0, 1), "last": 1}
    return Film("a.mov", **shape, time_base=UNIT, aspect=aspect, colour=colour, depth=depth)


def choose(output: str, codec: str | None = None, depth: int | None = None, **more: Any) -> Any:
    return choose_format(output, codec, "good", depth, **{"film": film()} | more)


def test_the_source_gives_time_base_aspect_and_colours() -> None:
    expected = FilmFormat("h264", "good", 8, (1001, 30000), (4, 3), PQ)
    wide = film(aspect=Fraction(4, 3))
    assert choose("out.mp4", film=wide) == expected
    assert choose("OUT.MP4", film=wide) == expected


def test_stills_get_a_rate_and_the_usual_colours() -> None:
    form = choose("out.webm", film=None, rate=Fraction(30000, 1001))
    assert form == FilmFormat("vp9", "good", 8, (1001, 30000), (1, 1), Colour(1, 1, 1))


@pytest.mark.parametrize(
    ("output", "codec"),
    [("a.mp4", "h264"), ("a.mov", "h264"), ("a.mkv", "h264"), ("a.webm", "vp9"), ("a.gif", "gif")],
)
def test_each_container_has_its_usual_codec(output: str, codec: str) -> None:
    assert choose(output).codec == codec


@pytest.mark.parametrize(
    ("codec", "of_source", "asked", "depth"),
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
def test_depth_is_the_sources_where_the_codec_holds_it(
    codec: str, of_source: int, asked: int | None, depth: int
) -> None:
    assert choose("a.mkv", codec, asked, film=film(of_source)).depth == depth


@pytest.mark.parametrize(
    ("codec", "of_source", "notes"),
    [
        ("h264", 10, ("10 bits a sample become 8; --depth 10 keeps more",)),
        ("vp9", 10, ("10 bits a sample become 8",)),
        ("hevc", 12, ("12 bits a sample become 10",)),
        ("hevc", 10, ()),
        ("ffv1", 8, ()),
    ],
)
def test_a_depth_that_is_not_kept_is_said(
    codec: str, of_source: int, notes: tuple[str, ...]
) -> None:
    deep = film(of_source)
    assert note_depth(deep, choose("a.mkv", codec, film=deep)) == notes


def test_rgb_keeps_no_matrix_and_yuv_needs_one() -> None:
    assert choose("a.mkv", "ffv1").colour == Colour(9, 16, 0, is_full=True)
    drawn = film(colour=Colour(1, 13, 0, is_full=True))
    assert choose("a.mp4", film=drawn).colour == Colour(1, 1, 1)


@pytest.mark.parametrize(
    ("output", "codec", "depth", "message"),
    [
        ("a.webm", "h264", None, r"codec: 'h264' is not written to \.webm; give vp9 or av1"),
        ("a.mp4", "ffv1", None, r"codec: 'ffv1' is not written to \.mp4; give h264, hevc or av1"),
        ("a.gif", "vp9", None, r"'vp9' is not written to \.gif; give gif"),
        ("a.mp4", None, 16, r"depth: h264 holds 8 or 10 bits a sample, not 16"),
        ("a.webm", None, 10, r"depth: vp9 holds 8 bits a sample, not 10"),
        ("a.mkv", "ffv1", 10, r"depth: ffv1 holds 8 or 16 bits a sample, not 10"),
    ],
)
def test_what_does_not_fit_is_refused(
    output: str, codec: str | None, depth: int | None, message: str
) -> None:
    with pytest.raises(BadParameter, match=message):
        choose(output, codec, depth)


def test_pixels_that_are_not_square_are_refused_where_they_would_be_lost() -> None:
    wide = film(aspect=Fraction(4, 3))
    message = r"a\.gif: a GIF's pixels are square, the film's are 4:3; give one of \.mp4, \.mov, "
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
def test_an_encoder_holds_so_many_bytes_of_frames_at_most(
    codec: str, option: str, usual: str, of_16_megabytes: str, of_100_megabytes: str
) -> None:
    for frame_bytes, expected in ((10**5, usual), (2**24, of_16_megabytes)):
        assert CODECS[codec].options_for("good", frame_bytes)[option].endswith(expected)
    assert CODECS[codec].options_for("good", 10**8)[option].endswith(of_100_megabytes)


def test_other_suffixes_are_refused() -> None:
    with pytest.raises(BadOutput, match=r"a\.avi: its suffix must be one of \.mp4, \.mov"):
        choose("a.avi")
    with pytest.raises(BadParameter, match="'superb'; choose draft, good or best"):
        choose_format("a.mp4", None, "superb", None, film=None)  # type: ignore[arg-type]
