"""Finds out what a job renders: stills as they are, films and sequences frame by frame.

Reads each film once, from the first frame to the last. Decides no schedule.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from farm.errors import BadInput, BadOutput, BadParameter
from farm.media import is_film, is_sequence
from farm.model.events import Notice, ReadProgress
from farm.model.film import Film, FilmFormat
from farm.model.job import JobSpec
from farm.planning.frame_range import FrameRange
from farm.planning.inputs import Source
from farm.planning.outputs import is_film_target, is_rendered_by_frame, target_for
from farm.planning.plan import FilmFrame, Footage, FrameSequence

Notify = Callable[[ReadProgress | Notice], None]


def read_footage(
    spec: JobSpec, sources: Sequence[Source], notify: Notify, *, is_endless: bool
) -> Footage:
    """Return what the job renders. Raises BadInput, BadOutput or BadParameter.

    notify: receives how much of a film has been read, then a notice for whatever the output loses.
    is_endless: each frame is rendered from the previous one.
    """
    if is_endless or is_film_target(spec.output) or is_sequence(spec.output):
        return Footage(sequences=(_single_sequence(spec, sources, notify, is_endless=is_endless),))
    many = len(sources) > 1
    films = [source for source in sources if is_rendered_by_frame(source, spec.output, many)]
    if not films:
        _refuse_film_options(spec)
    stills = [(s.name, s.url, target_for(s, spec.output, many)) for s in sources if s not in films]
    sequences = [_read_film(spec, s, target_for(s, spec.output, many), notify) for s in films]
    return Footage(stills, sequences)


def _refuse_film_options(spec: JobSpec) -> None:
    for name, is_set in (
        ("frames", spec.frames is not None),
        ("coherence", spec.film.coherence != "none"),
        ("codec", spec.film.codec is not None),
        ("strict", spec.film.is_strict),
    ):
        if is_set:
            raise BadParameter(name, "only applies to films, and every input is a still")


def _single_sequence(
    spec: JobSpec, sources: Sequence[Source], notify: Notify, *, is_endless: bool
) -> FrameSequence:
    films = [source for source in sources if is_film(source.url)]
    if is_endless:
        return _endless_sequence(spec, sources)
    if films and len(sources) > 1:
        raise BadOutput(spec.output, f"{len(sources)} inputs need a folder; end the path with /")
    if films:
        return _read_film(spec, films[0], spec.output, notify)
    chosen = _chosen(spec, len(sources))
    return _still_sequence(spec, [sources[i] for i in chosen], [i + 1 for i in chosen])


def _endless_sequence(spec: JobSpec, sources: Sequence[Source]) -> FrameSequence:
    if len(sources) > 1 or is_film(sources[0].url):
        raise BadInput(sources[-1].url, f"{spec.task} starts from one still; give exactly one")
    if not (is_film_target(spec.output) or is_sequence(spec.output)):
        reason = f"{spec.task} renders many frames; give a film (.mp4) or frame_%05d.png"
        raise BadOutput(spec.output, reason)
    if spec.film.coherence != "none":
        reason = f"{spec.task} already renders each frame from the previous one; omit it"
        raise BadParameter("coherence", reason)
    asked = FrameRange.parse(spec.frames) if spec.frames else None
    if asked is None or asked.last is None or (asked.first, asked.step) != (1, 1):
        raise BadParameter("frames", "give the number of frames to render, such as --frames 240")
    sequence = _still_sequence(spec, [sources[0]] * asked.last, range(1, asked.last + 1))
    return replace(sequence, name=sources[0].name, is_endless=True)


def _still_sequence(
    spec: JobSpec, sources: Sequence[Source], numbers: Sequence[int]
) -> FrameSequence:
    """Return pictures as a sequence with a constant frame rate."""
    rate = Fraction(spec.film.rate).limit_denominator(1001)
    frames = [
        FilmFrame(source.url, number, index, 1, float(index / rate))
        for index, (source, number) in enumerate(zip(sources, numbers, strict=True))
    ]
    form = None
    if not is_sequence(spec.output):
        from farm.media.film import choose_format

        options = spec.film
        form = choose_format(
            spec.output, options.codec, options.quality, options.depth, film=None, rate=rate
        )
    return FrameSequence(
        _stem(spec.output), frames, spec.output, _working_folder(spec.output), form
    )


def _read_film(spec: JobSpec, source: Source, target: str, notify: Notify) -> FrameSequence:
    from farm.media.film import choose_format, read_film
    from farm.media.shots import ShotFinder

    options, shots = spec.film, ShotFinder()
    if not is_sequence(target):
        choose_format(target, options.codec, options.quality, options.depth, film=None)
    film = read_film(source.url, lambda done: notify(ReadProgress(source.url, done)), shots.add)
    film = replace(film, cuts=shots.cuts)
    form = None
    if not is_sequence(target):
        form = choose_format(target, options.codec, options.quality, options.depth, film=film)
    chosen = _chosen(spec, len(film.times))
    for note in _notes(spec, film, target, form):
        notify(Notice(source.url, note))
    is_whole = len(chosen) == len(film.times)
    start = 0 if is_whole else film.times[chosen[0]]
    return FrameSequence(
        source.name,
        _film_frames(film, chosen, start),
        target,
        _working_folder(target),
        form,
        _cuts(film, chosen),
        origin=source.url,
        span=None if is_whole else _span(film, chosen),
    )


def _notes(spec: JobSpec, film: Film, target: str, form: FilmFormat | None) -> Iterator[str]:
    """Yield a note for everything that the output loses or changes."""
    from farm.media.film import describe_depth_change, describe_sound_changes

    yield from film.notes
    if form:
        yield from describe_sound_changes(film.url, target)
        if spec.film.depth is None:
            yield from describe_depth_change(film, form)
    elif film.has_sound:
        yield "sound is left out: numbered pictures cannot contain it"


def _chosen(spec: JobSpec, count: int) -> range:
    """Return the indices of the frames to render."""
    return FrameRange.parse(spec.frames).within(count) if spec.frames else range(count)


def _film_frames(film: Film, chosen: range, start: int) -> list[FilmFrame]:
    ends = [*(film.times[index] for index in chosen[1:]), _end(film, chosen)]
    return [
        FilmFrame(
            film.url,
            index + 1,
            film.times[index] - start,
            end - film.times[index],
            float((film.times[index] - film.times[chosen[0]]) * film.time_base),
            film.moment(index),
        )
        for index, end in zip(chosen, ends, strict=True)
    ]


def _end(film: Film, chosen: range) -> int:
    """Return when the last chosen frame ends, which is when the next one would start."""
    following = chosen[-1] + chosen.step
    if following < len(film.times):
        return film.times[following]
    return film.times[-1] + film.last


def _span(film: Film, chosen: range) -> tuple[float, float]:
    start, end = film.times[chosen[0]], _end(film, chosen)
    return float(start * film.time_base), float(end * film.time_base)


def _cuts(film: Film, chosen: range) -> tuple[int, ...]:
    """Return the positions among the chosen frames where a shot starts."""
    starts = {
        next((p for p, index in enumerate(chosen) if index >= cut), None) for cut in film.cuts
    }
    return tuple(sorted({0, *(start for start in starts if start is not None)}))


def _working_folder(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.farm")  # noqa: PTH118 - also for URLs


def _stem(output: str) -> str:
    return os.path.splitext(os.path.basename(output))[0]  # noqa: PTH119, PTH122 - also for URLs
