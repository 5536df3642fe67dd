"""The units of a job, which never depend on who runs them."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import BadParameter
from farm.model.film import FilmFormat, Moment
from farm.model.frame_range import FrameRange
from farm.model.job import FilmOptions
from farm.model.unit import Unit
from farm.model.work import Blend, Encode, Join, Render
from farm.planning.plan import (
    LOOP,
    OVERLAP,
    PART,
    SEGMENT,
    FilmFrame,
    Footage,
    FrameSequence,
    loop_frames,
    plan_units,
    segments,
)

H264 = FilmFormat("h264")
STILLS = st.lists(st.tuples(st.text(), st.text(), st.text()))


def make_sequence(count: int, *, form: FilmFormat | None = H264, **more: object) -> FrameSequence:
    frames = [
        FilmFrame(
            "clip.mp4", index + 1, 2 * index, 2, float(Fraction(index, 25)), Moment(index, index)
        )
        for index in range(count)
    ]
    target = "out.mp4" if form else "out_%03d.png"
    return FrameSequence("clip", frames, target, ".out.farm", form, **more)  # type: ignore[arg-type]


def plan(sequence: FrameSequence, **options: object) -> tuple[Unit, ...]:
    return plan_units("job", Footage(sequences=(sequence,)), FilmOptions.model_validate(options))


@given(STILLS)
def test_every_still_is_one_unit_in_order(stills: list[tuple[str, str, str]]) -> None:
    units = plan_units("job", Footage(stills), FilmOptions())
    assert [(unit.name, unit.source, unit.target) for unit in units] == stills
    assert all((unit.job, unit.needs, unit.work) == ("job", (), Render()) for unit in units)


@given(st.integers(1, 400), st.sampled_from(["none", "flow"]))
def test_a_film_is_divided_into_frames_parts_and_one_join(count: int, coherence: str) -> None:
    units = plan(make_sequence(count), coherence=coherence)
    *before, last = units
    assert isinstance(last.work, Join)
    assert (last.target, last.is_working) == ("out.mp4", False)
    assert all(unit.is_working for unit in before)
    parts = [unit for unit in before if isinstance(unit.work, Encode)]
    assert last.needs == tuple(part.name for part in parts)
    assert last.work.parts == tuple(part.target for part in parts)
    shown = [p for part in parts if isinstance(part.work, Encode) for p in part.work.pictures]
    assert [(p.time, p.duration) for p in shown] == [(2 * index, 2) for index in range(count)]
    assert all(len(part.work.pictures) <= PART for part in parts if isinstance(part.work, Encode))


@given(st.integers(1, 400), st.sampled_from(["none", "flow"]), st.booleans())
def test_units_have_unique_names_and_follow_what_they_need(
    count: int,
    coherence: str,
    is_endless: bool,  # noqa: FBT001 - drawn
) -> None:
    seen: set[str] = set()
    for unit in plan(make_sequence(count, is_endless=is_endless), coherence=coherence):
        assert unit.name not in seen
        assert seen.issuperset(unit.needs)
        seen.add(unit.name)
    targets = Counter(u.target for u in plan(make_sequence(count), coherence=coherence))
    assert set(targets.values()) == {1}


SOME = st.sets(st.integers(1, 999), max_size=12)


@given(SOME, SOME, st.integers(1, 1000))
def test_segments_cover_every_shot_and_overlap_only_within_it(
    cuts: set[int], fades: set[int], count: int
) -> None:
    starts = (0, *sorted(cut for cut in cuts if cut < count))
    spans = list(segments(starts, count, sorted(fades)))
    covered = Counter(index for span in spans for index in span)
    assert set(covered) == set(range(count))
    assert max(covered.values()) <= 2
    assert all(len(span) <= SEGMENT + OVERLAP for span in spans)
    for one, other in pairwise(spans):
        shared = range(other.start, one.stop)
        assert len(shared) == (0 if other.start in starts else OVERLAP)


def test_a_segment_starts_where_a_fade_ends() -> None:
    assert list(segments((0,), 60, (20,))) == [range(28), range(20, 60)]
    assert list(segments((0,), 60, (70,))) == [range(56), range(48, 60)]
    assert list(segments((0, 18), 60, (20,))) == [range(18), range(18, 60)]


def test_a_coherent_film_starts_anew_where_a_fade_ends() -> None:
    units = plan(replace(make_sequence(40), fades=(20,)), coherence="flow")
    first = [unit.name for unit in units if isinstance(unit.work, Render) and not unit.needs]
    assert first == ["clip/s0000/000001", "clip/s0001/000021"]


def test_a_coherent_frame_needs_only_the_previous_one_of_its_segment() -> None:
    units = plan(make_sequence(SEGMENT + OVERLAP + 3, cuts=(0, 3)), coherence="flow")
    frames = {unit.name: unit for unit in units if isinstance(unit.work, Render)}
    first = [name for name, unit in frames.items() if not unit.needs]
    assert first == ["clip/s0000/000001", "clip/s0001/000004"]
    second = frames["clip/s0001/000005"]
    assert second.needs == ("clip/s0001/000004",)
    assert isinstance(second.work, Render)
    assert second.work.before
    assert second.work.before.target == frames["clip/s0001/000004"].target
    assert second.work.before.moment == Moment(3, 3)
    assert {unit.work.seed for unit in frames.values() if isinstance(unit.work, Render)} == {""}


def test_each_segment_fades_into_the_next() -> None:
    units = plan(make_sequence(2 * SEGMENT), coherence="flow")
    pictures = [p for unit in units if isinstance(unit.work, Encode) for p in unit.work.pictures]
    shares = [round(p.share * (OVERLAP + 1)) for p in pictures]
    assert shares == [0] * SEGMENT + list(range(1, OVERLAP + 1)) + [0] * (SEGMENT - OVERLAP)
    assert [len(p.files) for p in pictures] == [2 if share else 1 for share in shares]
    faded = pictures[SEGMENT]
    assert (faded.source, faded.moment) == ("clip.mp4", Moment(SEGMENT, SEGMENT))


def test_the_end_of_a_loop_fades_into_its_start() -> None:
    units = plan(make_sequence(20, loop=3), coherence="none")
    shown = [p for unit in units if isinstance(unit.work, Encode) for p in unit.work.pictures]
    assert [(p.time, p.duration) for p in shown] == [(2 * index, 2) for index in range(17)]
    files = [p.files[0][0] for p in shown]
    assert files == [f"clip/{number:06d}" for number in (18, 19, 20, *range(4, 18))]
    assert [p.into and p.into[0] for p in shown][:4] == [*files_of(1, 2, 3), None]
    assert [p.into_share for p in shown] == [0.25, 0.5, 0.75] + [0] * 14
    (part,) = (unit for unit in units if isinstance(unit.work, Encode))
    assert set(part.needs) == set(files_of(*range(1, 21)))


def files_of(*numbers: int) -> list[str]:
    return [f"clip/{number:06d}" for number in numbers]


def test_a_loop_of_numbered_pictures_keeps_their_numbers() -> None:
    units = plan(make_sequence(20, form=None, loop=3))
    written = [unit for unit in units if isinstance(unit.work, Blend)]
    assert [unit.target for unit in written] == [f"out_{number:03d}.png" for number in range(1, 18)]
    assert written[0].needs == ("clip/000018", "clip/000001")


@given(st.integers(4, 400), st.sampled_from(["none", "flow"]))
def test_a_loop_shows_all_but_the_frames_that_fade(count: int, coherence: str) -> None:
    loop = loop_frames(count)
    units = plan(make_sequence(count, loop=loop), coherence=coherence)
    shown = [p for unit in units if isinstance(unit.work, Encode) for p in unit.work.pictures]
    assert len(shown) == count - loop >= 3 * loop
    assert sum(p.into is not None for p in shown) == loop <= LOOP
    seen: set[str] = set()
    for unit in units:
        assert seen.issuperset(unit.needs)
        seen.add(unit.name)


@pytest.mark.parametrize(("cuts", "fades"), [((0,), (16,)), ((0, 3), (19, 70)), ((0,), (40, 90))])
def test_a_coherent_loop_shows_every_frame_that_it_renders(
    cuts: tuple[int, ...], fades: tuple[int, ...]
) -> None:
    sequence = make_sequence(100, cuts=cuts, fades=fades, loop=LOOP)
    units = plan(sequence, coherence="flow")
    rendered = {unit.name for unit in units if isinstance(unit.work, Render)}
    parts = [unit for unit in units if isinstance(unit.work, Encode)]
    assert {name for part in parts for name in part.needs} == rendered


def test_a_fade_at_the_start_of_a_loop_begins_a_segment_after_it() -> None:
    units = plan(make_sequence(100, fades=(16,), loop=LOOP), coherence="flow")
    first = [unit.name for unit in units if isinstance(unit.work, Render) and not unit.needs]
    assert first[:2] == ["clip/s0000/000001", "clip/s0001/000025"]


def test_a_loop_needs_a_few_frames() -> None:
    with pytest.raises(BadParameter, match="loop: 3 frames are too few; give 4 or more"):
        loop_frames(3)


def test_a_failed_frame_fails_the_film_only_if_strict() -> None:
    lenient, strict = (
        [unit.is_tolerant for unit in plan(make_sequence(3), is_strict=strict) if unit.needs]
        for strict in (False, True)
    )
    assert lenient == [True, False]
    assert strict == [False, False]


def test_an_incoherent_sequence_is_written_directly() -> None:
    units = plan(make_sequence(3, form=None), depth=16)
    assert [unit.target for unit in units] == ["out_001.png", "out_002.png", "out_003.png"]
    assert not any(unit.is_working or unit.needs for unit in units)
    assert [unit.work.depth for unit in units if isinstance(unit.work, Render)] == [16] * 3


def test_a_coherent_sequence_is_written_from_its_working_pictures() -> None:
    units = plan(make_sequence(SEGMENT + OVERLAP + 1, form=None), coherence="flow")
    written = [unit for unit in units if isinstance(unit.work, Blend)]
    assert [unit.target for unit in written][:2] == ["out_001.png", "out_002.png"]
    assert all(unit.is_working != isinstance(unit.work, Blend) for unit in units)
    assert [len(unit.needs) for unit in written].count(2) == OVERLAP


def test_an_endless_film_renders_each_frame_from_the_previous_one() -> None:
    first, second, *_ = plan(make_sequence(3, is_endless=True))
    assert (first.source, second.source) == ("clip.mp4", first.target)
    assert (first.needs, second.needs) == ((), (first.name,))
    assert not second.is_tolerant


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("1-4", [0, 1, 2, 3]),
        ("2-9x3", [1, 4, 7]),
        ("3", [0, 1, 2]),
        ("8-", [7, 8, 9]),
        ("9-99", [8, 9]),
        ("1-x4", [0, 4, 8]),
    ],
)
def test_a_range_counts_from_1_and_stops_at_the_end_of_the_film(
    text: str, indices: list[int]
) -> None:
    assert list(FrameRange.parse(text).within(10)) == indices


@pytest.mark.parametrize("text", ["", "x2", "-5", "a-b", "1-5x", "1.5", "1-2-3", "9" * 12])
def test_text_that_is_not_a_range_is_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="is not a range; use 1-240, 1-240x2, 100- or 240"):
        FrameRange.parse(text)


@pytest.mark.parametrize("text", ["0", "0-5", "5-4", "1-5x0"])
def test_a_range_without_frames_is_refused(text: str) -> None:
    with pytest.raises(
        BadParameter, match="contains no frames; frames count from 1, and the step is 1 or more"
    ):
        FrameRange.parse(text)


def test_a_range_after_the_end_of_the_film_is_refused() -> None:
    with pytest.raises(BadParameter, match="frames: starts at 11, but there are only 10 frames"):
        FrameRange.parse("11-20").within(10)
