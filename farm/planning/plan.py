"""Split a job into units: pure, decided once, the same whatever runs it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from farm.model.film import FilmFormat, Moment
from farm.model.job import FilmOptions
from farm.model.unit import Unit
from farm.model.work import Before, Blend, Encode, Join, Picture, Render, Train

SEGMENT: Final = 48
"""Frames of a coherent film that follow on one another, before the next ones begin anew."""

OVERLAP: Final = 8
"""Frames over which one segment fades into the next: both render them."""

PART: Final = 120
"""Frames that are encoded at once."""


@dataclass(frozen=True)
class FilmFrame:
    """One frame of a strip. number: counted from 1. time, duration: in the format's time base."""

    source: str
    number: int
    time: int
    duration: int
    seconds: float
    moment: Moment | None = None


@dataclass(frozen=True)
class FrameSequence:
    """Frames that become one film, or one numbered sequence.

    target: the film's path, or for a sequence (form is None) a pattern for each number. folder:
    of working pictures. cuts: places in frames that begin a shot. origin: the film whose sound and
    title go along. span: seconds of it, None for all. is_endless: each frame is made from the one
    before, the first from its source.
    """

    name: str
    frames: Sequence[FilmFrame]
    target: str
    folder: str
    form: FilmFormat | None = None
    cuts: tuple[int, ...] = (0,)
    origin: str = ""
    span: tuple[float, float] | None = None
    is_endless: bool = False


@dataclass(frozen=True)
class Footage:
    """What a job renders. stills: name, source and target of each."""

    stills: Sequence[tuple[str, str, str]] = ()
    strips: Sequence[FrameSequence] = field(default=())


def plan_units(job: str, footage: Footage, options: FilmOptions) -> tuple[Unit, ...]:
    """Return the units of a job, each one behind those it needs."""
    work = Render(depth=options.depth)
    units = [Unit(job, name, source, target, work=work) for name, source, target in footage.stills]
    for strip in footage.strips:
        units += _strip_units(job, strip, options)
    return tuple(units)


def plan_run(job: str, name: str, inputs: tuple[str, ...], target: str) -> tuple[Unit, ...]:
    """Return the one unit of a run. target: the file that it ends with."""
    return (Unit(job, name, "", target, work=Train(inputs)),)


def _strip_units(job: str, strip: FrameSequence, options: FilmOptions) -> Iterator[Unit]:
    if strip.form is None and not strip.is_endless and options.coherence == "none":
        yield from _separate(job, strip, lambda shown: strip.target % shown.number, options.depth)
        return
    render = _endless if strip.is_endless else _RENDERERS[options.coherence]
    units = list(render(job, strip))
    yield from units
    pictures = _pictures(strip, units)
    if strip.form is None:
        yield from _blends(job, strip, pictures, options.depth or 8)
    else:
        yield from _film(job, strip, strip.form, pictures, is_strict=options.is_strict)


def _separate(
    job: str,
    strip: FrameSequence,
    target: Callable[[FilmFrame], str],
    depth: int | None,
    *,
    is_working: bool = False,
) -> Iterator[Unit]:
    for shown in strip.frames:
        work = Render(shown.moment, number=shown.number - 1, seconds=shown.seconds, depth=depth)
        name = f"{strip.name}/{shown.number:06d}"
        yield Unit(job, name, shown.source, target(shown), work=work, is_working=is_working)


def _incoherent(job: str, strip: FrameSequence) -> Iterator[Unit]:
    depth = 16 if strip.form and strip.form.depth > 8 else 8

    def target(shown: FilmFrame) -> str:
        return f"{strip.folder}/{shown.number:06d}.tif"

    return _separate(job, strip, target, depth, is_working=True)


def _endless(job: str, strip: FrameSequence) -> Iterator[Unit]:
    before: Unit | None = None
    for shown in strip.frames:
        before = Unit(
            job,
            f"{strip.name}/{shown.number:06d}",
            before.target if before else shown.source,
            f"{strip.folder}/{shown.number:06d}.tif",
            (before.name,) if before else (),
            Render(number=shown.number - 1, seconds=shown.seconds, depth=16),
            is_working=True,
        )
        yield before


def segments(cuts: Sequence[int], count: int) -> Iterator[range]:
    """Yield the places of each segment; those of one shot share OVERLAP ones in a row."""
    for start, end in zip(cuts, (*cuts[1:], count), strict=True):
        while end - start > SEGMENT + OVERLAP:
            yield range(start, start + SEGMENT + OVERLAP)
            start += SEGMENT  # noqa: PLW2901 - the rest of the shot
        yield range(start, end)


def _coherent(job: str, strip: FrameSequence) -> Iterator[Unit]:
    for number, places in enumerate(segments(strip.cuts, len(strip.frames))):
        before: Unit | None = None
        for place in places:
            before = _following(job, strip, number, place, before)
            yield before


def _following(
    job: str, strip: FrameSequence, segment: int, place: int, before: Unit | None
) -> Unit:
    """Return a frame of a segment, which goes on from the one before."""
    shown, last = strip.frames[place], strip.frames[place - 1]
    work = Render(
        moment=shown.moment,
        seed=strip.name,
        number=shown.number - 1,
        seconds=shown.seconds,
        depth=16,
        before=Before(last.source, last.moment, before.target) if before else None,
    )
    return Unit(
        job,
        f"{strip.name}/s{segment:04d}/{shown.number:06d}",
        shown.source,
        f"{strip.folder}/s{segment:04d}-{shown.number:06d}.tif",
        (before.name,) if before else (),
        work,
        is_tolerant=True,
        is_working=True,
    )


_RENDERERS: Final = {"none": _incoherent, "flow": _coherent}


def _pictures(strip: FrameSequence, units: Iterable[Unit]) -> list[Picture]:
    """Return each frame as the units make it: by one of them, or by two that fade over."""
    made: dict[int, list[tuple[str, str]]] = {}
    for unit in units:
        assert isinstance(unit.work, Render)
        made.setdefault(unit.work.number, []).append((unit.name, unit.target))
    fading, pictures = 0, []
    for shown in strip.frames:
        files = tuple(made[shown.number - 1])
        fading = fading + 1 if len(files) == 2 else 0
        share = fading / (OVERLAP + 1)
        pictures.append(Picture(files, shown.time, shown.duration, share))
    return pictures


def _blends(
    job: str, strip: FrameSequence, pictures: Sequence[Picture], depth: int
) -> Iterator[Unit]:
    for shown, picture in zip(strip.frames, pictures, strict=True):
        yield Unit(
            job,
            f"{strip.name}/{shown.number:06d}/written",
            picture.files[0][1],
            strip.target % shown.number,
            tuple(name for name, _ in picture.files),
            Blend(picture, depth),
            is_tolerant=len(picture.files) > 1,
        )


def _film(
    job: str,
    strip: FrameSequence,
    form: FilmFormat,
    pictures: Sequence[Picture],
    *,
    is_strict: bool,
) -> Iterator[Unit]:
    parts: list[Unit] = []
    for number, some in enumerate(_batched(pictures, PART), start=1):
        name, target = f"{strip.name}/part{number:04d}", f"{strip.folder}/part{number:04d}.nut"
        needs = tuple(dict.fromkeys(unit for picture in some for unit, _ in picture.files))
        work = Encode(tuple(some), form)
        parts.append(Unit(job, name, "", target, needs, work, not is_strict, is_working=True))
    yield from parts
    join = Join(tuple(part.target for part in parts), form, strip.span)
    needs = tuple(part.name for part in parts)
    yield Unit(job, f"{strip.name}/film", strip.origin, strip.target, needs, join)


def _batched(pictures: Sequence[Picture], count: int) -> Iterator[Sequence[Picture]]:
    for start in range(0, len(pictures), count):
        yield pictures[start : start + count]
