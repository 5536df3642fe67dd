"""A film is bounded in memory, and no film makes the farm open another file or a link."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.errors import BadInput
from farm.media.film import decoding, read_film, scan

from ...clips import write_pngs  # noqa: TID252 - shared between rooms

WriteClip = Callable[..., str]

HUGE = 12_000
"""Side of a picture with more pixels than a frame may have; FFmpeg itself allows it."""


@pytest.mark.parametrize("stated", [(96, 64), (HUGE, HUGE)])
def test_a_film_of_huge_frames_is_refused(tmp_path: Path, stated: tuple[int, int]) -> None:
    path = write_pngs(tmp_path / "a.avi", stated, (HUGE, HUGE))
    with pytest.raises(BadInput, match="frames have at most 134,217,728 pixels"):
        read_film(str(path))


def test_a_huge_frame_in_the_middle_of_a_film_is_not_decoded(tmp_path: Path) -> None:
    small = write_pngs(tmp_path / "small.mov", (64, 64), (64, 64, 64))
    assert len(read_film(str(small)).times) == 3
    film = read_film(str(write_pngs(tmp_path / "a.mov", (64, 64), (64, HUGE, 64))))
    assert len(film.times) == 2
    assert film.notes[0].startswith("damaged: ")


def test_a_film_has_a_largest_number_of_frames(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MOST_FRAMES", 8)
    assert len(read_film(tiny).times) == 8
    monkeypatch.setattr(scan, "MOST_FRAMES", 7)
    with pytest.raises(BadInput, match="it has more than 7 frames"):
        read_film(tiny)


@pytest.fixture
def tiny(clip: WriteClip) -> str:
    """A transport stream so short that a line of a playlist can contain it."""
    return clip("tiny.ts", codec="mpeg2video", height=16, width=16, times=tuple(range(8)))


def write_playlist(path: Path, link: str) -> str:
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n"
    path.write_text(f"{head}{link}\n#EXT-X-ENDLIST\n")
    return str(path)


def test_a_playlist_is_no_film(tiny: str, tmp_path: Path) -> None:
    playlist = write_playlist(tmp_path / "list.m3u8", tiny)
    script = tmp_path / "list.mp4"
    script.write_text(f"ffconcat version 1.0\nfile {Path(tiny).name}\n")
    assert len(read_film(tiny).times) == 8
    for path in (playlist, str(script)):
        with pytest.raises(BadInput, match="not a film"):
            read_film(path)


def test_a_format_that_follows_links_may_follow_them_to_files_only(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The formats that may be opened follow no links today. This one does.
    monkeypatch.setattr(decoding, "_DEMUXERS", f"{decoding._DEMUXERS},hls")
    to_file = write_playlist(tmp_path / "file.m3u8", tiny)
    assert len(read_film(to_file).times) == 8
    content = base64.b64encode(Path(tiny).read_bytes() + bytes(2)).decode()
    assert content.endswith("="), "the suffix is ignored only after the end of the content"
    to_data = write_playlist(tmp_path / "data.m3u8", f"data:video/mp2t;base64,{content}/.ts")
    with pytest.raises(BadInput, match="not a film"):
        read_film(to_data)
