"""Names of all kinds are taken as they are, and what cannot be rendered is said in words."""

import shutil
from pathlib import Path

import av
import pytest

from .conftest import QUICK, Command, draw

pytestmark = pytest.mark.slow


@pytest.fixture
def film(command: Command) -> Path:
    """A film of three frames."""
    path = command.folder / "clip.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame(96, 64, "yuv420p")))
        out.mux(stream.encode(None))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("output", "written"),
    [
        ("50%done.png", "50%done.png"),
        ("100%/f_%05d.png", "100%/f_00001.png"),
        ("film:1.mp4", "film:1.mp4"),
        ("data:1/film.mkv", "data:1/film.mkv"),
        ("n" * 251 + ".mp4", "n" * 251 + ".mp4"),
    ],
)
def test_an_output_is_written_under_its_name(command: Command, output: str, written: str) -> None:
    done = command.run("dream", "blank:32x24", "-o", output, *QUICK)
    assert done.returncode == 0, done.stderr
    files = [path for path in command.folder.rglob("*") if path.is_file()]
    assert [str(path.relative_to(command.folder)) for path in files] == [written]
    assert names(command.folder) == [Path(written).parts[0]]


def test_a_film_with_a_colon_in_its_name_is_read(command: Command, film: Path) -> None:
    film.rename(command.folder / "film:1.mp4")
    done = command.run("dream", "film:1.mp4", "-o", "out/f_%d.png", "--frames", "2", *QUICK)
    assert done.returncode == 0, done.stderr
    assert names(command.folder / "out") == ["f_1.png", "f_2.png"]


def test_numbered_pictures_keep_their_numbers_and_what_is_odd_is_said(command: Command) -> None:
    for number in ("0101", "0103", "103"):
        draw(command.folder / "in" / f"f_{number}.png", 24, 32)
    done = command.run("dream", "in/f_%d.png", "-o", "out/f_%04d.png", *QUICK)
    assert done.returncode == 0, done.stderr
    assert names(command.folder / "out") == ["f_0101.png", "f_0103.png"]
    assert "1 number is missing between 101 and 103: 102" in done.stderr
    assert "1 file was left out: f_0103.png (its number is that of f_103.png)" in done.stderr


def test_a_bad_film_in_a_folder_is_listed_and_the_rest_is_rendered(
    command: Command, film: Path
) -> None:
    folder = command.folder / "in"
    draw(folder / "a.png", 24, 32)
    shutil.move(film, folder / "good.mp4")
    (folder / "bad.mp4").write_text("no film")
    (folder / "notes.txt").write_text("a note")
    done = command.run("dream", "in", "-o", "out/", *QUICK)
    assert done.returncode == 1, done.stderr
    assert "failed: bad: " in done.stderr
    assert "bad.mp4: not a film, damaged, or in an unsupported format" in done.stderr
    assert "1 file was left out: .txt (1)" in done.stderr
    assert names(command.folder / "out") == ["a.png", "good.mp4"]
    shutil.copy(folder / "good.mp4", folder / "bad.mp4")
    again = command.run("dream", "in", "-o", "out/", *QUICK, "--resume")
    assert again.returncode == 0, again.stderr
    assert names(command.folder / "out") == ["a.png", "bad.mp4", "good.mp4"]


@pytest.mark.parametrize("rate", ["nan", "-1"])
def test_a_rate_that_is_none_is_refused_in_one_line(command: Command, rate: str) -> None:
    done = command.run("dream", "blank:32x24", "-o", "a.mp4", "--rate", rate, *QUICK)
    assert done.returncode == 2
    assert "is not a frame rate; give a number above 0 and at most 1000" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_rate_is_refused_for_a_film(command: Command, film: Path) -> None:
    done = command.run("dream", film.name, "-o", "a.mp4", "--rate", "24", *QUICK)
    assert done.returncode == 2
    assert "--rate: an input is a film, which keeps its own times; omit it" in done.stderr


def test_a_film_from_pictures_has_the_exact_rate(command: Command) -> None:
    draw(command.folder / "in" / "1.png", 24, 32)
    draw(command.folder / "in" / "2.png", 24, 32)
    done = command.run("dream", "in", "-o", "a.mp4", "--rate", "24000/1001", *QUICK)
    assert done.returncode == 0, done.stderr
    with av.open(str(command.folder / "a.mp4")) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times[1] * 24000 == 1001


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("blank:32x24", "caf\udce9.png"),
        ("blank:32x24", "caf\udce9/"),
        ("caf\udce9.png", "a.png"),
        ("caf\udce9.mp4", "a.mp4"),
        ("caf\udce9", "out/"),
        ("ca*", "out/"),
    ],
)
def test_a_path_that_is_not_utf8_is_refused_in_one_line(
    command: Command, film: Path, source: str, output: str
) -> None:
    try:
        folder = command.folder / "caf\udce9"
        draw(folder / "caf\udce9.png", 24, 32)
    except OSError:
        pytest.skip("this disk stores only UTF-8 names")
    shutil.copy(folder / "caf\udce9.png", command.folder)
    shutil.copy(film, command.folder / "caf\udce9.mp4")
    done = command.run("dream", source, "-o", output, *QUICK)
    assert done.returncode == 2, done.stderr
    assert r"caf\xe9" in done.stderr
    assert "must be UTF-8" in done.stderr
    assert len(done.stderr.splitlines()) == 1
