"""Chapters, subtitles and default tracks are kept; what an output cannot keep is said."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from farm.media import Frame
from farm.media.film import choose_format, describe_lost_extras, encode_part, join_parts
from farm.media.film.codecs import container_of
from farm.media.film.sound import _CopiedTrack, _EncodedTrack
from farm.media.film.window import Window

WriteClip = Callable[..., str]

MILLISECOND = Fraction(1, 1000)
CHAPTERS = ((0, 400, "One"), (400, 800, "Two"), (800, 1200, "Three"))


def write_rich(
    clip: WriteClip, path: Path, subtitles: str = "subrip", chapters: Sequence[Any] = CHAPTERS
) -> str:
    """Write a film of 30 frames with two sound tracks, the second one default, and subtitles."""
    plain = clip("plain.mkv", sound="aac")
    with av.open(plain) as source, av.open(str(path), "w") as out:
        video = out.add_stream_from_template(source.streams.video[0], opaque=True)
        tracks = [out.add_stream_from_template(source.streams.audio[0], opaque=True) for _ in "ab"]
        tracks[0].disposition = Disposition.comment
        tracks[1].disposition = Disposition.default
        text = out.add_mux_stream(subtitles, time_base=MILLISECOND)
        text.disposition = Disposition.forced
        text.metadata["language"] = "fre"
        out.set_chapters(
            [
                {
                    "id": number,
                    "start": start,
                    "end": end,
                    "time_base": MILLISECOND,
                    "metadata": {"title": title},
                }
                for number, (start, end, title) in enumerate(chapters, start=1)
            ]
        )
        if path.suffix == ".mkv":
            out.add_attachment("font.ttf", "application/x-truetype-font", b"abc")
        for time, words in ((100, b"first"), (700, b"second")):
            packet = av.Packet(words)
            packet.stream, packet.time_base = text, MILLISECOND
            packet.pts = packet.dts = time
            packet.duration = 300
            out.mux(packet)
        for packet in source.demux():
            if packet.dts is not None:
                targets = [video] if packet.stream.type == "video" else tracks
                for target in targets:
                    packet.stream = target
                    out.mux(packet)
    return str(path)


def join(source: str, target: str, span: tuple[float, float] | None = None) -> Any:
    """Join a grey part with the source's rest, and open the film."""
    form = choose_format(target, None, "draft", None, film=None)
    grey = Frame(np.full((64, 96, 3), 0.5, np.float32))
    part = str(Path(target).with_suffix(".nut"))
    encode_part(part, form, [(index, 1, grey) for index in range(30)], {})
    join_parts(target, form, [part], source, span, {})
    return av.open(target)


def chapters_of(container: Any) -> list[tuple[int, int, str]]:
    return [
        (
            round(chapter["start"] * chapter["time_base"] * 1000),
            round(chapter["end"] * chapter["time_base"] * 1000),
            chapter["metadata"]["title"],
        )
        for chapter in container.chapters()
    ]


@pytest.mark.parametrize(
    ("source", "subtitles", "target"),
    [
        ("a.mkv", "subrip", "b.mkv"),
        ("a.mkv", "subrip", "b.mp4"),
        ("a.mp4", "mov_text", "b.mp4"),
        ("a.mp4", "mov_text", "b.mov"),
        ("a.mp4", "mov_text", "b.webm"),
    ],
)
def test_chapters_are_kept(
    clip: WriteClip, tmp_path: Path, source: str, subtitles: str, target: str
) -> None:
    path = write_rich(clip, tmp_path / source, subtitles)
    with join(path, str(tmp_path / target)) as film:
        assert chapters_of(film) == list(CHAPTERS)
    notes = describe_lost_extras(path, target)
    assert not any("chapter" in note or "data track" in note for note in notes)


def test_chapters_are_cut_to_the_span_and_shifted_with_it(clip: WriteClip, tmp_path: Path) -> None:
    path = write_rich(clip, tmp_path / "a.mkv")
    with join(path, str(tmp_path / "b.mkv"), (0.6, 0.9)) as film:
        assert chapters_of(film) == [(0, 200, "Two"), (200, 300, "Three")]


def flags(container: Any) -> list[Disposition]:
    return [s.disposition for s in (*container.streams.audio, *container.streams.subtitles)]


def test_the_flags_of_sound_and_subtitles_are_kept(clip: WriteClip, tmp_path: Path) -> None:
    path = write_rich(clip, tmp_path / "a.mkv")
    expected = [Disposition.comment, Disposition.default, Disposition.forced]
    with join(path, str(tmp_path / "b.mkv")) as film:
        assert flags(film) == expected
        assert film.streams.video[0].disposition == Disposition.default
    with join(path, str(tmp_path / "c.mp4")) as film:
        assert flags(film) == expected[:2]


def test_tracks_without_flags_get_none(clip: WriteClip, tmp_path: Path) -> None:
    plain = clip("a.mp4", sound="aac")
    with join(plain, str(tmp_path / "first.mkv")) as film:
        assert flags(film) == [Disposition.default]
    bare = str(tmp_path / "bare.mkv")
    with (
        av.open(plain) as source,
        av.open(bare, "w", container_options={"default_mode": "passthrough"}) as out,
    ):
        tracks = [out.add_stream_from_template(s, opaque=True) for s in source.streams]
        for track in tracks:
            track.disposition = Disposition(0)
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream_index]
                out.mux(packet)
    with join(bare, str(tmp_path / "b.mkv")) as film:
        assert flags(film) == [Disposition(0)]


@pytest.mark.parametrize(
    ("source", "subtitles", "target"),
    [("a.mkv", "subrip", "b.mkv"), ("a.mp4", "mov_text", "b.mp4")],
)
def test_subtitles_that_fit_are_copied(
    clip: WriteClip, tmp_path: Path, source: str, subtitles: str, target: str
) -> None:
    path = write_rich(clip, tmp_path / source, subtitles)
    assert not any("subtitle" in note for note in describe_lost_extras(path, target))
    with join(path, str(tmp_path / target)) as film:
        (track,) = film.streams.subtitles
        assert track.metadata["language"] in {"fre", "fra"}
        texts = [p for p in film.demux(track) if p.size > 2]
        shown = [(float(p.pts * p.time_base), bytes(p)) for p in texts]
    assert [(round(time, 3), words[-6:].lstrip(b"\0\x05")) for time, words in shown] == [
        (0.1, b"first"),
        (0.7, b"second"),
    ]


def test_subtitles_are_cut_to_the_span(clip: WriteClip, tmp_path: Path) -> None:
    path = write_rich(clip, tmp_path / "a.mkv")
    with join(path, str(tmp_path / "b.mkv"), (0.3, 0.8)) as film:
        packets = [p for p in film.demux(film.streams.subtitles[0]) if p.size]
        assert [(p.pts, p.duration, bytes(p)) for p in packets] == [
            (0, 100, b"first"),
            (400, 100, b"second"),
        ]


def test_what_an_output_cannot_keep_is_said(clip: WriteClip, tmp_path: Path) -> None:
    path = write_rich(clip, tmp_path / "a.mkv")
    attachment = "left out: 1 attachment (font.ttf)"
    assert describe_lost_extras(path, "b.mkv") == (attachment,)
    assert describe_lost_extras(path, "b.mp4") == (
        "subtitle track 1 is left out: .mp4 cannot store srt",
        attachment,
    )
    assert describe_lost_extras(path, None) == (
        "left out: 3 chapters",
        "left out: 1 subtitle track",
        attachment,
    )
    assert describe_lost_extras(path, "b.gif")[0] == "left out: 3 chapters"


def test_a_cover_and_a_timecode_are_left_out_and_said(clip: WriteClip, tmp_path: Path) -> None:
    path = str(tmp_path / "a.mov")
    cover = clip("cover.mkv", codec="mjpeg", pixels="yuvj420p", times=(0,))
    with (
        av.open(clip("plain.mp4")) as source,
        av.open(cover) as picture,
        av.open(path, "w", format="mp4") as out,
    ):
        video = out.add_stream_from_template(source.streams.video[0], opaque=True)
        video.metadata["timecode"] = "01:02:03:04"
        attached = out.add_stream_from_template(picture.streams.video[0], opaque=True)
        attached.disposition = Disposition.attached_pic
        for container, target in ((picture, attached), (source, video)):
            for packet in container.demux():
                if packet.dts is not None:
                    packet.stream = target
                    out.mux(packet)
    assert describe_lost_extras(path, "b.mp4") == (
        "left out: 1 cover picture",
        "left out: the timecode, which starts at 01:02:03:04",
    )
    with join(path, str(tmp_path / "b.mov")) as film:
        assert [stream.type for stream in film.streams] == ["video"]
        assert not any("timecode" in stream.metadata for stream in film.streams)


def test_a_timecode_in_matroska_is_reported_too(clip: WriteClip, tmp_path: Path) -> None:
    path = str(tmp_path / "a.mkv")
    with av.open(clip("plain.mp4")) as source, av.open(path, "w") as out:
        video = out.add_stream_from_template(source.streams.video[0], opaque=True)
        video.metadata["timecode"] = "01:02:03:04"
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
    note = "left out: the timecode, which starts at 01:02:03:04"
    assert describe_lost_extras(path, "b.mkv") == (note,)


@pytest.mark.parametrize(("kind", "target"), [(_CopiedTrack, "b.mkv"), (_EncodedTrack, "c.webm")])
def test_a_packet_of_sound_without_a_time_follows_the_one_before_it(
    clip: WriteClip, tmp_path: Path, kind: type[Any], target: str
) -> None:
    path = clip("a.mkv", sound="aac", times=tuple(range(9)))

    def ends(untimed: int) -> list[Fraction]:
        with av.open(path) as source, av.open(str(tmp_path / target), "w") as out:
            stream = source.streams.audio[0]
            track = kind(out, container_of(target), stream, Window.of(source, None))
            packets = [packet for packet in source.demux(stream) if packet.size]
            for packet in packets[len(packets) - untimed :]:
                packet.pts = packet.dts = None
            taken = [done for packet in packets for done in track.take(packet)] + [*track.finish()]
            return [packet.pts * packet.time_base for packet in taken]

    expected = ends(untimed=0)
    assert len(expected) > 8
    for untimed in (1, 3):
        times = ends(untimed)
        assert len(times) == len(expected)
        assert all(abs(a - b) < MILLISECOND * 3 for a, b in zip(times, expected, strict=True))
