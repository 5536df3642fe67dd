"""Reading stills: modes, alpha, orientation, colour profiles, limits."""

import os
import struct
import warnings
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import pyvips
from PIL import ExifTags, Image

from farm.errors import BadInput
from farm.media import read_still

RAMP = np.linspace(0, 255, 12 * 7 * 3).reshape(12, 7, 3).round().astype(np.uint8)
GREY = RAMP[..., 0]


def saved(folder: Path, image: Image.Image, suffix: str = ".png", **options: object) -> str:
    path = folder / f"picture{suffix}"
    image.save(path, **options)
    return str(path)


def assert_pixels(url: str, expected: np.ndarray, tolerance: float = 1e-6) -> None:
    """expected: 0..1."""
    pixels = read_still(url).pixels
    assert pixels.dtype == np.float32
    assert pixels.shape == expected.shape
    difference = np.abs(pixels - expected)
    assert difference.max() <= tolerance, (difference.max(), np.unravel_index(0, pixels.shape))


def as_grey(levels: np.ndarray, peak: float = 255) -> np.ndarray:
    return np.repeat(levels[..., None] / peak, 3, axis=2)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp", ".ppm", ".tga"])
def test_rgb_reads_back_exactly(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    assert_pixels(saved(tmp_path, Image.fromarray(RAMP), suffix, **options), RAMP / 255)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".gif", ".pcx"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    assert_pixels(saved(tmp_path, Image.fromarray(GREY), suffix), as_grey(GREY))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".pbm"])
def test_one_bit_is_black_and_white(tmp_path: Path, suffix: str) -> None:
    bits = GREY > 100
    assert_pixels(saved(tmp_path, Image.fromarray(bits), suffix), as_grey(bits, 1))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_palette_is_applied(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(RAMP).quantize(16)
    assert_pixels(saved(tmp_path, image, suffix), np.asarray(image.convert("RGB")) / 255)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_separated_from_the_pixels(tmp_path: Path, mode: str, suffix: str) -> None:
    image = Image.fromarray(RAMP).convert(mode[:-1])
    image.putalpha(Image.fromarray(GREY))
    frame = read_still(saved(tmp_path, image, suffix))
    assert frame.alpha is not None
    np.testing.assert_allclose(frame.alpha, GREY / 255, atol=1e-6)
    expected = np.asarray(image.convert("RGB")) / 255
    np.testing.assert_allclose(frame.pixels, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "transparent"),
    [
        (Image.fromarray(GREY), int(GREY[3, 3])),
        (Image.fromarray(RAMP), tuple(map(int, RAMP[3, 3]))),
        (Image.fromarray(GREY).convert("P"), int(GREY[3, 3])),
        (Image.fromarray(GREY.astype(np.uint16) * 257), int(GREY[3, 3]) * 257),
    ],
    ids=["grey", "rgb", "palette", "deep"],
)
def test_one_transparent_colour_becomes_alpha(
    tmp_path: Path, image: Image.Image, transparent: object
) -> None:
    frame = read_still(saved(tmp_path, image, transparency=transparent))
    assert frame.alpha is not None
    assert frame.alpha[3, 3] == 0
    assert frame.alpha[0, 0] == 1


def test_16_bit_grey_keeps_its_levels(tmp_path: Path) -> None:
    deep = (np.arange(84, dtype=np.uint16) * 701).reshape(12, 7)
    for suffix in (".png", ".tif", ".pgm"):
        url = saved(tmp_path, Image.fromarray(deep), suffix)
        assert_pixels(url, as_grey(deep, 65535))
        assert read_still(url).depth == 16


def test_floating_point_samples_must_be_in_0_to_1(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 84, dtype=np.float32).reshape(12, 7)
    assert_pixels(saved(tmp_path, Image.fromarray(values), ".tif"), as_grey(values, 1), 1e-5)
    url = saved(tmp_path, Image.fromarray(values), ".pfm")
    assert_pixels(url, as_grey(values, 1))
    for suffix in (".tif", ".pfm"):
        url = saved(tmp_path, Image.fromarray(values * 300), suffix)
        with pytest.raises(BadInput, match="samples range from 0 to 300; the limit is 0 to 1"):
            read_still(url)


def test_cmyk_without_a_profile_is_read_as_ink_on_white(tmp_path: Path) -> None:
    inks = np.zeros((8, 8, 4), np.uint8)
    inks[:4, :, 0] = 255
    inks[4:, :, 3] = 102
    image = Image.fromarray(inks, mode="CMYK")
    expected = np.full((8, 8, 3), 0.6)
    expected[:4] = (0, 1, 1)
    assert_pixels(saved(tmp_path, image, ".tif"), expected)
    assert_pixels(saved(tmp_path, image, ".jpg", quality=100), expected, 2 / 255)


def test_16_bit_cmyk_is_read_as_ink_on_white(tmp_path: Path) -> None:
    inks = np.full((6, 5, 4), (0, 65535, 0, 32768), np.uint16)
    path = tmp_path / "deep.tif"
    pyvips.Image.new_from_array(inks, interpretation="cmyk").tiffsave(str(path))
    light = 32767 / 65535
    assert_pixels(str(path), np.full((6, 5, 3), (light, 0, light)), 1e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_orientation_is_read_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    # how the EXIF standard stores an upright picture, by orientation
    stored = {
        1: RAMP,
        2: RAMP[:, ::-1],
        3: RAMP[::-1, ::-1],
        4: RAMP[::-1],
        5: RAMP.swapaxes(0, 1),
        6: np.rot90(RAMP, 1),
        7: RAMP[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(RAMP, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    assert_pixels(saved(tmp_path, image, suffix, exif=exif), RAMP / 255)


def p3_to_srgb(encoded: np.ndarray) -> np.ndarray:
    """Source: CSS Color 4, section 10, from Display P3 to sRGB."""
    matrix = np.array(
        [
            [1.2249401, -0.2249404, 0],
            [-0.0420569, 1.0420571, 0],
            [-0.0196376, -0.0786361, 1.0982735],
        ]
    )
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    linear = (linear @ matrix.T).clip(0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.fixture(scope="module")
def p3() -> bytes:
    return bytes(pyvips.Image.profile_load("p3"))


MUTED = 64 + RAMP // 4


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_a_wide_profile_is_converted(tmp_path: Path, p3: bytes, suffix: str) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    url = saved(tmp_path, Image.fromarray(MUTED), suffix, icc_profile=p3, **options)
    assert_pixels(url, p3_to_srgb(MUTED / 255), 2 / 255)


def test_a_wide_profile_is_converted_at_16_bits(tmp_path: Path, p3: bytes) -> None:
    colour = np.linspace((0.30, 0.42, 0.35), (0.31, 0.43, 0.36), 200).reshape(10, 20, 3)
    levels = (colour * 65535).round().astype(np.uint16)
    image = pyvips.Image.new_from_array(levels, interpretation="rgb16").copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", p3)
    image.pngsave(str(tmp_path / "deep.png"))
    frame = read_still(str(tmp_path / "deep.png"))
    assert frame.depth == 16
    assert len(np.unique(frame.pixels[..., 1])) > 150, "an 8-bit conversion would leave 4 levels"
    np.testing.assert_allclose(frame.pixels, p3_to_srgb(levels / 65535), atol=2e-3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_srgb_profile_changes_nothing(tmp_path: Path, suffix: str) -> None:
    profile = bytes(pyvips.Image.profile_load("srgb"))
    url = saved(tmp_path, Image.fromarray(RAMP), suffix, icc_profile=profile)
    assert_pixels(url, RAMP / 255)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("profile", [b"no profile at all", b""], ids=["junk", "empty"])
def test_a_broken_profile_is_ignored_and_noted(tmp_path: Path, suffix: str, profile: bytes) -> None:
    url = saved(tmp_path, Image.fromarray(RAMP), suffix, icc_profile=profile)
    assert_pixels(url, RAMP / 255)
    if profile:
        (note,) = read_still(url).notes
        assert note.startswith("colour profile ignored: ")


def test_a_cmyk_profile_in_an_rgb_picture_is_ignored_and_noted(tmp_path: Path) -> None:
    profile = bytes(pyvips.Image.profile_load("cmyk"))
    url = saved(tmp_path, Image.fromarray(RAMP), icc_profile=profile)
    assert_pixels(url, RAMP / 255)
    assert "it is for CMYK pictures, but this one is RGB" in read_still(url).notes[0]


def test_a_grey_picture_may_carry_an_rgb_profile(tmp_path: Path, p3: bytes) -> None:
    url = saved(tmp_path, Image.fromarray(GREY), icc_profile=p3)
    assert_pixels(url, as_grey(GREY), 2 / 255)
    assert read_still(url).notes == ()


def test_the_first_picture_of_an_animation_is_read(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (5, 4), colour) for colour in ("red", "blue"))
    for suffix in (".gif", ".png", ".tif"):
        url = saved(tmp_path, first, suffix, save_all=True, append_images=[second])
        assert_pixels(url, np.broadcast_to([1.0, 0, 0], (4, 5, 3)))


def png(width: int, height: int, depth: int = 8) -> bytes:
    """Return a PNG whose header states a size but that has no picture data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("depth", [8, 16])
def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(40_000, 30_000, depth))
    with pytest.raises(BadInput, match="1,200,000,000 pixels; the limit is 268,435,456"):
        read_still(str(path))


def test_the_pixel_limit_is_exact(tmp_path: Path) -> None:
    for suffix in (".png", ".tif"):
        url = saved(tmp_path, Image.fromarray(RAMP), suffix)
        assert read_still(url, max_pixels=84).pixels.shape == RAMP.shape
        with pytest.raises(BadInput, match="84 pixels; the limit is 83"):
            read_still(url, max_pixels=83)


def test_pillows_own_limit_is_restored(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    read_still(saved(tmp_path, Image.fromarray(RAMP)), max_pixels=1000)
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_file_too_large_for_its_pixel_limit_is_refused(tmp_path: Path) -> None:
    url = saved(tmp_path, Image.fromarray(RAMP))
    with Path(url).open("ab") as file:
        file.write(bytes(2000))
    with pytest.raises(BadInput, match="too many pixels; the limit is 100"):
        read_still(url, max_pixels=100)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".gif", ".bmp"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = Path(saved(tmp_path, Image.fromarray(noise), suffix))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadInput, match=r"picture\.\w+: ") as refusal:
        read_still(str(path))
    assert "\n" not in str(refusal.value)


def test_missing_empty_and_special_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in {
        "gone.png": "no such file",
        "empty.png": "the file is empty",
        "pipe.png": "not a file; give a picture",
        ".": "not a file; give a picture",
    }.items():
        with pytest.raises(BadInput, match=reason):
            read_still(str(tmp_path / name))
    with pytest.raises(BadInput, match=r"ftp://here/a.png: ftp:// URLs are not supported"):
        read_still("ftp://here/a.png")


def test_postscript_is_not_passed_to_another_program(tmp_path: Path) -> None:
    url = saved(tmp_path, Image.fromarray(RAMP), ".eps")
    with pytest.raises(BadInput, match="in an unsupported format"):
        read_still(url)


def test_blank_pictures_are_drawn() -> None:
    assert_pixels("blank:3x2", np.full((2, 3, 3), 128 / 255))
    assert_pixels("blank:1x1:#ff0080", np.array([[[1, 0, 128 / 255]]]))
    with pytest.raises(BadInput, match="it has 6 pixels; give between 1 and 5"):
        read_still("blank:3x2", max_pixels=5)


def test_decoder_warnings_do_not_leak(tmp_path: Path) -> None:
    path = Path(saved(tmp_path, Image.fromarray(RAMP), ".tif"))
    path.write_bytes(path.read_bytes() + b"tail")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_still(str(path), max_pixels=84)
    assert caught == []


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    for suffix in (".png", ".tif"):
        for level in (0, 65535):
            deep = np.full((12, 7), level, np.uint16)
            url = saved(tmp_path, Image.fromarray(deep), suffix)
            assert_pixels(url, as_grey(deep, 65535))
