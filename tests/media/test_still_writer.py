"""Stills keep pixels, alpha, depth and record; equal input gives equal bytes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from farm.errors import BadInput, BadOutput
from farm.media import WRITABLE, Frame, read_record, read_still, write_still

SUFFIXES = (".png", ".jpg", ".webp", ".tif")
LOSSLESS = (".png", ".tif")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("written")


def gradient(depth: int = 8, *, with_alpha: bool = False) -> Frame:
    rows, columns = np.mgrid[0:31, 0:45].astype(np.float32)
    pixels = np.dstack((rows / 31, columns / 45, (rows + columns) / 76))
    return Frame(pixels, rows / 31 if with_alpha else None, depth)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Draw a frame whose values are exact at its depth."""
    depth = draw(st.sampled_from([8, 16]))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    peak = 2**depth - 1

    def fractions(*grid: int) -> st.SearchStrategy[np.ndarray]:
        levels = arrays(np.int32, grid, elements=st.integers(0, peak))
        return levels.map(lambda x: (x / np.float32(peak)).astype(np.float32))

    alpha = draw(st.none() | fractions(height, width))
    return Frame(draw(fractions(height, width, 3)), alpha, depth)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", LOSSLESS)
@settings(max_examples=40, deadline=None)
@given(frame=frames())
def test_a_lossless_still_reads_back_exactly(folder: Path, suffix: str, frame: Frame) -> None:
    url = str(folder / f"same{suffix}")
    write_still(url, frame, {})
    again = read_still(url)
    np.testing.assert_array_equal(again.pixels, frame.pixels)
    assert again.depth == frame.depth
    if frame.alpha is None:
        assert again.alpha is None
    else:
        np.testing.assert_array_equal(again.alpha, frame.alpha)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None)
@given(record=st.dictionaries(st.text(), JSON, max_size=4))
def test_any_record_is_read_back(folder: Path, suffix: str, record: dict[str, object]) -> None:
    url = str(folder / f"record{suffix}")
    write_still(url, Frame(np.zeros((1, 2, 3), np.float32)), record)
    assert read_record(url) == record


@pytest.mark.slow
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_record_may_be_long(tmp_path: Path, suffix: str, depth: int) -> None:
    record = {"network": "größe 💭", "words": ["dream" * 10] * 4000}
    url = str(tmp_path / f"long{suffix}")
    write_still(url, gradient(depth), record)
    assert read_record(url) == record
    assert np.abs(read_still(url).pixels - gradient().pixels).max() < 0.05


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_every_format_stores_the_picture(tmp_path: Path, suffix: str) -> None:
    frame = gradient(16, with_alpha=True)
    url = str(tmp_path / f"picture{suffix.upper()}")
    write_still(url, frame, {"task": "dream"})
    again = read_still(url)
    still_format = WRITABLE[suffix]
    assert again.depth == max(still_format.depths)
    assert (again.alpha is not None) == still_format.has_alpha
    assert np.abs(again.pixels - frame.pixels).mean() < 0.01
    with Image.open(url) as image:
        assert image.format == still_format.name.upper()


def test_jpeg_does_not_subsample_colour(tmp_path: Path) -> None:
    write_still(str(tmp_path / "a.jpg"), gradient(), {})
    with Image.open(tmp_path / "a.jpg") as image:
        sampling = {(across, down) for _, across, down, _ in image.layer}  # type: ignore[attr-defined]
    assert sampling == {(1, 1)}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_input_gives_equal_bytes(tmp_path: Path, suffix: str) -> None:
    one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
    digest = write_still(str(one), gradient(16), {"a": 1, "b": [2.5]})
    assert write_still(str(other), gradient(16), {"b": [2.5], "a": 1}) == digest
    assert one.read_bytes() == other.read_bytes()
    assert hashlib.sha256(one.read_bytes()).hexdigest() == digest


def test_values_are_clipped_and_rounded_half_to_even(tmp_path: Path) -> None:
    levels = np.array([-9, 0.5, 1.5, 2.5, 254.5, 900], np.float32)
    row = np.repeat(levels[None, :, None] / 255, 3, axis=2).astype(np.float32)
    write_still(str(tmp_path / "a.png"), Frame(row), {})
    written = read_still(str(tmp_path / "a.png")).pixels[0, :, 0] * 255
    assert written.round().tolist() == [0, 0, 2, 2, 254, 255]


def test_nan_is_refused_and_no_file_is_left(tmp_path: Path) -> None:
    frame = gradient()
    frame.pixels[3, 4, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 4185 values are NaN"):
        write_still(str(tmp_path / "a.png"), frame, {})
    assert list(tmp_path.iterdir()) == []


def test_the_error_for_an_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadOutput, match=r"must be one of \.png, \.jpg, \.jpeg, \.webp, \.tif"):
        write_still(str(tmp_path / "a.gif"), gradient(), {})
    with pytest.raises(
        BadOutput, match=r"cannot write ftp://b/a.png: ftp:// URLs are not supported"
    ):
        write_still("ftp://b/a.png", gradient(), {})


def test_a_picture_too_large_for_its_format_is_refused(tmp_path: Path) -> None:
    wide = Frame(np.zeros((1, 16384, 3), np.float32))
    with pytest.raises(
        BadOutput, match=r"16384x1 pixels, but WebP allows 16383 per side; write \.png"
    ):
        write_still(str(tmp_path / "a.webp"), wide, {})
    write_still(str(tmp_path / "a.jpg"), wide, {})


def test_missing_folders_are_created_and_old_files_replaced(tmp_path: Path) -> None:
    url = str(tmp_path / "new" / "deep" / "a.png")
    write_still(url, gradient(), {"n": 1})
    write_still(url, gradient(), {"n": 2})
    assert read_record(url) == {"n": 2}
    assert [path.name for path in Path(url).parent.iterdir()] == ["a.png"]


def test_other_texts_in_a_picture_are_not_a_record(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4))
    exif = Image.Exif()
    exif[270] = '{"shape": [4, 4, 3]}'
    for suffix in SUFFIXES:
        image.save(tmp_path / f"a{suffix}", exif=exif)
        assert read_record(str(tmp_path / f"a{suffix}")) is None
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(BadInput, match="not a picture"):
        read_record(str(tmp_path / "text.png"))
