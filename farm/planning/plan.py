"""Divides a job into units. Pure: the units never depend on who runs them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from farm.errors import BadParameter
from farm.media.sequence import NumberedPath
from farm.model.film import FilmFormat, Moment
from farm.model.job import FilmOptions
from farm.model.unit import Unit
from farm.model.work import Ahead, Before, Blend, Encode, Join, Picture, Render, Train

SEGMENT: Final = 48
"""Frames of a coherent film that continue one another before a new segment starts."""

OVERLAP: Final = 8
"""Frames over which one segment fades into the next. Both segments render them."""

LOOK_AHEAD: Final = 4
"""Frames of a segment from one that tells how strong frames are to the next."""

LOOP: Final = 24
"""Most frames over which the end of a film that loops fades into its start."""

_LEAST: Final = 4
"""Frames of a film that loops, for each that fades."""

PART: Final = 120
"""Frames per part of a film."""


@dataclass(frozen=True)
class FilmFrame:
    """One frame of a sequence.

    number: counted from 1. time, duration: in the format's time base. seconds: when it is shown in the
    film that it is from, of which the sequence may be a part.
    label: number in the name of a written picture; None for number.
    """

    source: str
    number: int
    time: int
    duration: int
    seconds: float
    moment: Moment | None = None
    label: int | None = None


@dataclass(frozen=True)
class Length:
    """How long a film is, of which a sequence may be a part."""

    seconds: float
    frames: int


@dataclass(frozen=True)
class FrameSequence:
    """Frames that are written as one film or as one series of numbered pictures.

    target: path of the film, or a pattern for each number if form is None. folder: for working
    pictures. cuts: indices in frames where a shot starts. fades: those by which a shot has come out of
    black or white. origin: the film whose sound and title
    are copied. span: start and end in seconds of the origin; None for all of it. is_endless: each
    frame is rendered from the previous rendered frame, the first from its source. shape: height and
    width that the sources are brought to, if the plan's size does not say it. size: height and width of
    the frames; None for pictures, which may have several. loop: frames at the end that fade into as many
    at the start and are not shown by themselves. length: of the whole film, if it is known. end: of these
    frames in the film, from its start; None if they are all of it.
    """

    name: str
    frames: Sequence[FilmFrame]
    target: str
    folder: str
    form: FilmFormat | None = None
    cuts: tuple[int, ...] = (0,)
    fades: tuple[int, ...] = ()
    origin: str = ""
    span: tuple[float, float] | None = None
    is_endless: bool = False
    shape: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    loop: int = 0
    length: Length | None = None
    end: Length | None = None


@dataclass(frozen=True)
class Footage:
    """What a job renders.

    stills: (name, source, target) of each. refused: (name, source, target, reason) of each that
    cannot be rendered.
    """

    stills: Sequence[tuple[str, str, str]] = ()
    sequences: Sequence[FrameSequence] = field(default=())
    refused: Sequence[tuple[str, str, str, str]] = ()


def plan_units(
    job: str, footage: Footage, options: FilmOptions, workers: int = 1
) -> tuple[Unit, ...]:
    """Return the units of a job, each after those it needs. workers: that share each still."""
    work = Render(depth=options.depth)
    units = [
        Unit(job, name, source, target, work=work, workers=workers)
        for name, source, target in footage.stills
    ]
    for name, source, target, reason in footage.refused:
        units.append(Unit(job, name, source, target, work=Render(refusal=reason)))
    for sequence in footage.sequences:
        units += _sequence_units(job, sequence, options)
    return tuple(units)


def plan_run(
    job: str, name: str, inputs: tuple[str, ...], target: str, workers: int
) -> tuple[Unit, ...]:
    """Return the single unit of a run. target: its result file. workers: that share it."""
    return (Unit(job, name, "", target, work=Train(inputs), workers=workers),)


def _sequence_units(job: str, sequence: FrameSequence, options: FilmOptions) -> Iterator[Unit]:
    is_made_of_others = sequence.is_endless or sequence.loop or options.coherence != "none"
    if sequence.form is None and not is_made_of_others:
        yield from _written_frames(job, sequence, options.depth)
        return
    plan_frames = _endless_frames if sequence.is_endless else _PLAN_FRAMES[options.coherence]
    units = list(plan_frames(job, sequence))
    yield from units
    pictures = _looped(_pictures(sequence, units), sequence.loop)
    if sequence.form is None:
        yield from _blend_units(job, sequence, pictures, options.depth or 8)
    else:
        yield from _film_units(job, sequence, sequence.form, pictures, is_strict=options.is_strict)


def _separate_frames(
    job: str,
    sequence: FrameSequence,
    target: Callable[[FilmFrame], str],
    depth: int | None,
    *,
    is_working: bool = False,
) -> Iterator[Unit]:
    for frame in sequence.frames:
        work = Render(
            frame.moment,
            _seed(frame),
            frame.number - 1,
            frame.seconds,
            depth=depth,
            shape=sequence.shape,
        )
        name = f"{sequence.name}/{frame.number:06d}"
        yield Unit(job, name, frame.source, target(frame), work=work, is_working=is_working)


def _written_frames(job: str, sequence: FrameSequence, depth: int | None) -> Iterator[Unit]:
    return _separate_frames(job, sequence, lambda frame: picture_path(sequence, frame), depth)


def picture_path(sequence: FrameSequence, frame: FilmFrame) -> str:
    """Return the path of a numbered picture, or of the only one."""
    pattern = NumberedPath.parse(sequence.target)
    if pattern is None:
        return sequence.target
    return pattern.path(frame.number if frame.label is None else frame.label)


def _incoherent_frames(job: str, sequence: FrameSequence) -> Iterator[Unit]:
    depth = 16 if sequence.form and sequence.form.depth > 8 else 8

    def target(frame: FilmFrame) -> str:
        return f"{sequence.folder}/{frame.number:06d}.tif"

    return _separate_frames(job, sequence, target, depth, is_working=True)


def _endless_frames(job: str, sequence: FrameSequence) -> Iterator[Unit]:
    previous: Unit | None = None
    for frame in sequence.frames:
        previous = Unit(
            job,
            f"{sequence.name}/{frame.number:06d}",
            previous.target if previous else frame.source,
            f"{sequence.folder}/{frame.number:06d}.tif",
            (previous.name,) if previous else (),
            Render(None, _seed(frame), frame.number - 1, frame.seconds, depth=16),
            is_working=True,
        )
        yield previous


def segments(cuts: Sequence[int], count: int, fades: Sequence[int] = ()) -> Iterator[range]:
    """Yield the frame indices of each segment. Successive segments of a shot share OVERLAP of them.

    A new one starts at each fade, unless its shot or another segment starts or ends near.
    """
    for start, end in zip(cuts, (*cuts[1:], count), strict=True):
        while (following := _following(start, fades)) + OVERLAP < end:
            yield range(start, following + OVERLAP)
            start = following  # noqa: PLW2901 - the rest of the shot
        yield range(start, end)


def _following(start: int, fades: Sequence[int]) -> int:
    """Return where the segment after the one from start begins, in a shot that is long enough."""
    coming = (fade for fade in fades if start + 2 * OVERLAP <= fade < start + SEGMENT)
    return next(coming, start + SEGMENT)


def _coherent_frames(job: str, sequence: FrameSequence) -> Iterator[Unit]:
    # The end of a loop fades into one picture of each frame of its start: no segment begins before.
    fades = [max(fade, sequence.loop) for fade in sequence.fades]
    for number, indices in enumerate(segments(sequence.cuts, len(sequence.frames), fades)):
        previous: Unit | None = None
        for index in indices:
            ahead = _ahead(sequence, indices, index)
            previous = _coherent_frame(job, sequence, number, index, previous, ahead=ahead)
            yield previous


def _ahead(sequence: FrameSequence, indices: range, index: int) -> Ahead | None:
    """Return the frame of a segment up to which one tells how strong frames are; None if another one does."""
    count = min(LOOK_AHEAD, indices[-1] - index)
    if (index - indices[0]) % LOOK_AHEAD or not count:
        return None
    frame = sequence.frames[index + count]
    return Ahead(
        frame.number - 1, frame.seconds, count, frame.source, frame.moment, seed=_seed(frame)
    )


def _seed(frame: FilmFrame) -> str:
    """Return what tells the seed of a frame by itself from those of the others in its film."""
    return str(frame.number)


def _coherent_frame(
    job: str,
    sequence: FrameSequence,
    segment: int,
    index: int,
    previous: Unit | None,
    *,
    ahead: Ahead | None,
) -> Unit:
    """Return the unit of a frame that continues the previous unit of its segment."""
    frame, last = sequence.frames[index], sequence.frames[index - 1]
    work = Render(
        moment=frame.moment,
        number=frame.number - 1,
        seconds=frame.seconds,
        depth=16,
        before=Before(last.source, last.moment, previous.target) if previous else None,
        ahead=ahead,
        shape=sequence.shape,
    )
    return Unit(
        job,
        f"{sequence.name}/s{segment:04d}/{frame.number:06d}",
        frame.source,
        f"{sequence.folder}/s{segment:04d}-{frame.number:06d}.tif",
        (previous.name,) if previous else (),
        work,
        is_tolerant=True,
        is_working=True,
    )


_PLAN_FRAMES: Final = {
    "none": _incoherent_frames,
    "previous": _coherent_frames,
    "flow": _coherent_frames,
}


def _pictures(sequence: FrameSequence, units: Iterable[Unit]) -> list[Picture]:
    """Return the picture of each frame, from the unit that renders it, or from two cross-faded."""
    rendered: dict[int, list[tuple[str, str]]] = {}
    for unit in units:
        assert isinstance(unit.work, Render)
        rendered.setdefault(unit.work.number, []).append((unit.name, unit.target))
    fading, pictures = 0, []
    for frame in sequence.frames:
        files = tuple(rendered[frame.number - 1])
        fading = fading + 1 if len(files) == 2 else 0
        picture = Picture(files, frame.time, frame.duration)
        if fading:
            share = fading / (OVERLAP + 1)
            picture = replace(picture, share=share, source=frame.source, moment=frame.moment)
        pictures.append(picture)
    return pictures


def loop_frames(count: int) -> int:
    """Return how many of the frames of a film that loops fade into one another. Raises BadParameter."""
    if count < _LEAST:
        raise BadParameter("loop", f"{count} frames are too few; give {_LEAST} or more")
    return min(LOOP, count // _LEAST)


def _looped(pictures: list[Picture], count: int) -> list[Picture]:
    """Return the pictures of a film whose last ones fade into its first ones, which take their place."""
    if not count:
        return pictures
    fading = [
        replace(
            end,
            time=start.time,
            duration=start.duration,
            into=start.files[0],
            into_share=number / (count + 1),
        )
        for number, (start, end) in enumerate(zip(pictures, pictures[-count:], strict=False), 1)
    ]
    return fading + pictures[count:-count]


def _blend_units(
    job: str, sequence: FrameSequence, pictures: Sequence[Picture], depth: int
) -> Iterator[Unit]:
    for frame, picture in zip(sequence.frames, pictures, strict=False):  # a loop shows fewer
        yield Unit(
            job,
            f"{sequence.name}/{frame.number:06d}/written",
            picture.own[1],
            picture_path(sequence, frame),
            picture.needs,
            Blend(picture, depth),
            is_tolerant=len(picture.needs) > 1,
        )


def _film_units(
    job: str,
    sequence: FrameSequence,
    form: FilmFormat,
    pictures: Sequence[Picture],
    *,
    is_strict: bool,
) -> Iterator[Unit]:
    parts: list[Unit] = []
    for number, batch in enumerate(_batched(pictures, PART), start=1):
        part = f"part{number:04d}"
        needs = tuple(dict.fromkeys(unit for picture in batch for unit in picture.needs))
        work = Encode(tuple(batch), form)
        name, target = f"{sequence.name}/{part}", f"{sequence.folder}/{part}.nut"
        unit = Unit(job, name, sequence.origin, target, needs, work, not is_strict, is_working=True)
        parts.append(unit)
    yield from parts
    join = Join(tuple(part.target for part in parts), form, sequence.span)
    needs = tuple(part.name for part in parts)
    yield Unit(job, f"{sequence.name}/film", sequence.origin, sequence.target, needs, join)


def _batched(pictures: Sequence[Picture], count: int) -> Iterator[Sequence[Picture]]:
    for start in range(0, len(pictures), count):
        yield pictures[start : start + count]
