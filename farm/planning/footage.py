"""From a job's inputs to what it renders: stills as they are, films and sequences frame by frame.

Reads films once, from the first frame to the last; decides no schedule.
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
from farm.planning.plan import FilmFrame, Footage, FrameSequence
from farm.planning.targets import is_film_target, moves, target_for

Notify = Callable[[ReadProgress | Notice], None]


def gather(
    spec: JobSpec, sources: Sequence[Source], notify: Notify, *, is_endless: bool
) -> Footage:
    """Return what the job renders. Raises BadInput, BadOutput or BadParameter.

    tell: hears how far a film is read, and once it is, what of it is left out, changed or damaged.
    is_endless: frames are made one from another.
    """
    if is_endless or is_film_target(spec.output) or is_sequence(spec.output):
        return Footage(strips=(_one_strip(spec, sources, notify, is_endless=is_endless),))
    many = len(sources) > 1
    films = [source for source in sources if moves(source, spec.output, many)]
    if not films:
        _refuse_film_options(spec)
    stills = [(s.name, s.url, target_for(s, spec.output, many)) for s in sources if s not in films]
    strips = [_film_strip(spec, s, target_for(s, spec.output, many), notify) for s in films]
    return Footage(stills, strips)


def _refuse_film_options(spec: JobSpec) -> None:
    for name, is_given in (
        ("frames", spec.frames is not None),
        ("coherence", spec.film.coherence != "none"),
        ("codec", spec.film.codec is not None),
        ("strict", spec.film.is_strict),
    ):
        if is_given:
            raise BadParameter(name, "there is no film among the inputs, only stills")


def _one_strip(
    spec: JobSpec, sources: Sequence[Source], notify: Notify, *, is_endless: bool
) -> FrameSequence:
    films = [source for source in sources if is_film(source.url)]
    if is_endless:
        return _endless_strip(spec, sources)
    if films and len(sources) > 1:
        raise BadOutput(spec.output, f"{len(sources)} inputs need a folder: end it with /")
    if films:
        return _film_strip(spec, films[0], spec.output, notify)
    stills = _chosen(spec, range(len(sources)))
    return _still_strip(spec, [sources[place] for place in stills], [p + 1 for p in stills])


def _endless_strip(spec: JobSpec, sources: Sequence[Source]) -> FrameSequence:
    if len(sources) > 1 or is_film(sources[0].url):
        raise BadInput(sources[-1].url, "it begins with one still; give one")
    if not (is_film_target(spec.output) or is_sequence(spec.output)):
        raise BadOutput(spec.output, "it makes many frames; give a film (.mp4) or frame_%05d.png")
    if spec.film.coherence != "none":
        raise BadParameter("coherence", f"{spec.task} makes each frame from the one before anyway")
    asked = FrameRange.parse(spec.frames) if spec.frames else None
    if asked is None or asked.last is None or (asked.first, asked.step) != (1, 1):
        raise BadParameter("frames", "say how many frames to make, as --frames 240")
    strip = _still_strip(spec, [sources[0]] * asked.last, range(1, asked.last + 1))
    return replace(strip, name=sources[0].name, is_endless=True)


def _still_strip(spec: JobSpec, sources: Sequence[Source], numbers: Sequence[int]) -> FrameSequence:
    """Return pictures as a strip of a steady rate."""
    rate = Fraction(spec.film.rate).limit_denominator(1001)
    frames = [
        FilmFrame(source.url, number, place, 1, float(place / rate))
        for place, (source, number) in enumerate(zip(sources, numbers, strict=True))
    ]
    form = None
    if not is_sequence(spec.output):
        from farm.media.film import choose_format

        options = spec.film
        form = choose_format(
            spec.output, options.codec, options.quality, options.depth, film=None, rate=rate
        )
    return FrameSequence(_stem(spec.output), frames, spec.output, _folder(spec.output), form)


def _film_strip(spec: JobSpec, source: Source, target: str, notify: Notify) -> FrameSequence:
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
    chosen = _chosen(spec, range(len(film.times)))
    for note in _notes(spec, film, target, form):
        notify(Notice(source.url, note))
    is_whole = len(chosen) == len(film.times)
    begin = 0 if is_whole else film.times[chosen[0]]
    return FrameSequence(
        source.name,
        _shown(film, chosen, begin),
        target,
        _folder(target),
        form,
        _cuts(film, chosen),
        origin=source.url,
        span=None if is_whole else _span(film, chosen),
    )


def _notes(spec: JobSpec, film: Film, target: str, form: FilmFormat | None) -> Iterator[str]:
    """Yield what the output keeps no more of a film, or not as it was."""
    from farm.media.film import describe_depth_change, describe_sound_changes

    yield from film.notes
    if form:
        yield from describe_sound_changes(film.url, target)
        if spec.film.depth is None:
            yield from describe_depth_change(film, form)
    elif film.has_sound:
        yield "sound is left out: numbered pictures hold none"


def _chosen(spec: JobSpec, places: range) -> range:
    return FrameRange.parse(spec.frames).within(len(places)) if spec.frames else places


def _shown(film: Film, chosen: range, begin: int) -> list[FilmFrame]:
    ends = [*(film.times[index] for index in chosen[1:]), _end(film, chosen)]
    return [
        FilmFrame(
            film.url,
            index + 1,
            film.times[index] - begin,
            end - film.times[index],
            float((film.times[index] - film.times[chosen[0]]) * film.time_base),
            film.moment(index),
        )
        for index, end in zip(chosen, ends, strict=True)
    ]


def _end(film: Film, chosen: range) -> int:
    """Return when the last chosen frame is over: as long as the step would have shown it."""
    following = chosen[-1] + chosen.step
    if following < len(film.times):
        return film.times[following]
    return film.times[-1] + film.last


def _span(film: Film, chosen: range) -> tuple[float, float]:
    begin, end = film.times[chosen[0]], _end(film, chosen)
    return float(begin * film.time_base), float(end * film.time_base)


def _cuts(film: Film, chosen: range) -> tuple[int, ...]:
    """Return the places among the chosen frames where a shot begins."""
    places = {next((p for p, i in enumerate(chosen) if i >= cut), None) for cut in film.cuts}
    return tuple(sorted({0, *(place for place in places if place is not None)}))


def _folder(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.farm")  # noqa: PTH118 - also for URLs


def _stem(output: str) -> str:
    return os.path.splitext(os.path.basename(output))[0]  # noqa: PTH119, PTH122 - also for URLs
