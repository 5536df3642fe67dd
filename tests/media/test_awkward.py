"""Each awkward file is read correctly or refused with one clear line."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from farm.errors import BadInput
from farm.media import Frame, read_still

REFUSED = {
    "badwidth.bmp": "274,877,898,816 pixels; the limit is 268,435,456",
    "broken.png": "not a picture, damaged",
    "broken_data_stream.png": "damaged picture: unrecognized data stream",
    "crash-0c7e0e8e11ce787078f00b5b0ca409a167f070e0.tif": "damaged picture",
    "crash-465703f71a0f0094873a3e0e82c9f798161171b8.sgi": "damaged picture: buffer overrun",
    "crash-5762152299364352.fli": "truncated",
    "crash-ccca68ff40171fdae983d924e127a721cab2bd50.j2k": "damaged picture: broken data stream",
    "decompression_bomb.ico": "4,294,836,225 pixels; the limit is",
    "hopper.heif": "in an unsupported format",
    "hopper.mic": "in an unsupported format",
    "hopper_bad_exif.jpg": "damaged picture: Corrupt JPEG data: 1214 extraneous bytes",
    "libtiff_segfault.tif": "damaged picture: .*samples out of range",
    "oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif": "damaged picture",
    "png_decompression_dos.png": "damaged picture: Decompressed data too large",
    "pngsuite_xdtn0g01.png": "damaged picture: cannot load this image",
    "pngsuite_xlfn0g04.png": "not a picture",
    "pngsuite_xs1n0g01.png": "not a picture",
    "pngsuite_xs4n0g01.png": "not a picture",
    "reallybig.bmp": "6,000,000,000,000 pixels; the limit is",
    "seek_too_large.tif": "damaged picture",
    "sharp_65536-uint32-limit.png": "4,294,967,296 pixels; the limit is",
    "sharp_giant-image.jpg": "280,000,000 pixels; the limit is",
    "sharp_truncated.jpg": "damaged picture: premature end of JPEG",
    "shortfile.bmp": "damaged picture: image file is truncated",
    "truncated_image.png": "damaged picture: image file is truncated",
    "ultrahdr.jpg": "damaged picture: premature end of JPEG",
    "unknown_compression_method.png": "not a picture",
}


@dataclass(frozen=True)
class Facts:
    """What a file is known to show. like: another file of the same scene."""

    height: int
    width: int
    depth: int = 8
    alpha: float | None = None
    colour: tuple[float, float, float] | None = None
    like: str = ""


HOPPER = "hopper_idat_after_image_end.png"
BLACK, RED, GREEN, BLUE = (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)

READ = {
    "background_outside_palette.gif": Facts(1, 1),
    "broken_exif_dpi.jpg": Facts(100, 100, colour=(0, 0.5, 0)),
    "different_transparency.gif": Facts(100, 100, alpha=0.26),
    "dispose_bgnd_rgba.gif": Facts(100, 100, alpha=0.404),
    "exif-dpi-zerodivision.jpg": Facts(200, 200, like="invalid-exif.jpg"),
    "exif_Landscape_1.jpg": Facts(1200, 1800),
    "exif_Landscape_3.jpg": Facts(1200, 1800, like="exif_Landscape_1.jpg"),
    "exif_Portrait_5.jpg": Facts(1800, 1200),
    "exif_Portrait_8.jpg": Facts(1800, 1200, like="exif_Portrait_5.jpg"),
    "flower.webp": Facts(360, 480),
    "hopper.Lab.tif": Facts(128, 128, like=HOPPER),
    "hopper.avif": Facts(128, 128, like=HOPPER),
    "hopper.psd": Facts(128, 128, like=HOPPER),
    "hopper_16bit_qtables.jpg": Facts(128, 128, like=HOPPER),
    HOPPER: Facts(128, 128),
    "hopper_orientation_6.jpg": Facts(128, 128, like=HOPPER),
    "hopper_orientation_6.webp": Facts(128, 128, like=HOPPER),
    "i_trns.png": Facts(64, 64, depth=16, alpha=0.864),
    "icc_profile_big.jpg": Facts(250, 425),
    "invalid-exif.jpg": Facts(200, 200),
    "iss634.webp": Facts(245, 245, alpha=1),
    "jpeg_ff00_header.jpg": Facts(225, 300),
    "junk_jpeg_header.jpg": Facts(768, 1024),
    "mode_16bit.png": Facts(64, 128, depth=16, alpha=1, colour=RED),
    "multiple_exif.jpg": Facts(1, 1, colour=BLACK),
    "no_palette.gif": Facts(1, 1, colour=BLACK),
    "orientation_rectangle.jpg": Facts(2, 1, colour=RED),
    "p_16.png": Facts(128, 128, alpha=1),
    "padded_idat.png": Facts(10, 256, colour=(0.5, 0.5, 0.5)),
    "pngsuite_basn0g01.png": Facts(32, 32),
    "pngsuite_basn4a16.png": Facts(32, 32, depth=16, alpha=0.313),
    "pngsuite_basn6a16.png": Facts(32, 32, depth=16, alpha=0.313),
    "pngsuite_exif2c08.png": Facts(32, 32),
    "pngsuite_g25n2c08.png": Facts(32, 32),
    "pngsuite_s01n3p01.png": Facts(1, 1, colour=BLUE),
    "pngsuite_s07i3p02.png": Facts(7, 7),
    "pngsuite_tbbn3p08.png": Facts(32, 32, alpha=0.557),
    "pngsuite_xcsn0g01.png": Facts(32, 32, like="pngsuite_basn0g01.png"),
    "rgb_trns.png": Facts(64, 64, alpha=0.786),
    "rot1mir0.avif": Facts(427, 640),
    "sharp_16-bit-grey-alpha.png": Facts(96, 109, depth=16, alpha=0.029, colour=BLACK),
    "sharp_Channel_digital_image_CMYK_color_no_profile.jpg": Facts(333, 500),
    "sharp_Flag_of_the_Netherlands-16bit.png": Facts(600, 900, depth=16),
    "sharp_animated-loop-3.gif": Facts(285, 370, like="sharp_animated-loop-3.webp"),
    "sharp_animated-loop-3.webp": Facts(285, 370, alpha=1),
    "sharp_cielab-dagams.tiff": Facts(266, 400, depth=16),
    "sharp_full-transparent.png": Facts(300, 300, alpha=0),
    "sharp_rotating-squares.webp": Facts(80, 80, alpha=0.351),
    "sugarshack.mpo": Facts(480, 640),
    "syntax_num_frames_invalid.png": Facts(64, 128, alpha=1, colour=GREEN),
    "tRNS_null_1x1.png": Facts(1, 1, alpha=0),
    "tiff_strip_cmyk_jpeg.tif": Facts(100, 100, like="truncated_app14.jpg"),
    "transparent.png": Facts(150, 200, alpha=0.292),
    "truncated_app14.jpg": Facts(100, 100),
    "xmp_tags_orientation.png": Facts(268, 326, alpha=1),
}


@pytest.fixture(scope="module")
def awkward(shared_data: Path) -> Path:
    folder = shared_data / "awkward_images"
    if not folder.is_dir():
        pytest.skip(f"no pictures at {folder}")
    return folder


def correlation(one: Frame, other: Frame) -> float:
    pairs = np.corrcoef(one.pixels.ravel(), other.pixels.ravel())
    return float(pairs[0, 1])


def test_the_tables_list_every_file(awkward: Path) -> None:
    assert {path.name for path in awkward.iterdir()} == {*REFUSED, *READ}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_one_line(awkward: Path, name: str) -> None:
    with pytest.raises(BadInput, match=REFUSED[name]) as refusal:
        read_still(str(awkward / name))
    text = str(refusal.value)
    assert text.startswith(str(awkward / name))
    assert "\n" not in text


@pytest.mark.parametrize("name", READ)
def test_a_good_file_is_read_correctly(awkward: Path, name: str) -> None:
    facts = READ[name]
    frame = read_still(str(awkward / name))
    assert frame.pixels.shape == (facts.height, facts.width, 3)
    assert frame.depth == facts.depth
    assert frame.pixels.min() >= 0
    assert frame.pixels.max() <= 1
    if facts.alpha is None:
        assert frame.alpha is None
    else:
        assert frame.alpha is not None
        assert frame.alpha.mean() == pytest.approx(facts.alpha, abs=1e-3)
    if facts.colour:
        assert frame.pixels.mean((0, 1)) == pytest.approx(facts.colour, abs=0.02)
    if facts.like:
        assert correlation(frame, read_still(str(awkward / facts.like))) > 0.9


def test_a_16_bit_flag_has_the_right_colours(awkward: Path) -> None:
    flag = read_still(str(awkward / "sharp_Flag_of_the_Netherlands-16bit.png")).pixels
    bands = flag[[100, 300, 500], 450] * 255
    assert bands == pytest.approx(
        np.array([[0xAE, 0x1C, 0x28], [255, 255, 255], [0x21, 0x46, 0x8B]]), abs=3
    )


def test_16_bits_have_values_between_those_of_8(awkward: Path) -> None:
    ramps = read_still(str(awkward / "pngsuite_basn6a16.png"))
    levels = ramps.pixels * 255
    assert np.abs(levels - levels.round()).max() > 0.2


def test_a_16_bit_lab_picture_of_a_field_is_green(awkward: Path) -> None:
    red, green, blue = read_still(str(awkward / "sharp_cielab-dagams.tiff")).pixels.mean((0, 1))
    assert green > red > blue


READ_ALL = """
import sys
from pathlib import Path
from farm.errors import FarmError
from farm.media import read_record, read_still
for path in sorted(Path(sys.argv[1]).iterdir()):
    for read in (read_still, read_record):
        try:
            read(str(path))
        except FarmError:
            pass
# getrusage would report the parent's peak if that is higher
status = Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.slow
def test_reading_all_files_uses_little_memory_and_prints_nothing(awkward: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(awkward)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    assert int(done.stdout) < 400 * 1024, "peak memory in kilobytes"
