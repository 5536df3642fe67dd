"""Reads a film into the frames of a sequence, and notes what the output loses or changes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Final

from farm.errors import BadParameter
from farm.media import check_side, is_sequence
from farm.model.events import Notice, ReadProgress
from farm.model.film import Film, FilmFormat
from farm.model.frame_range import FrameRange, chosen_frames
from farm.model.job import JobSpec
from farm.model.picture_size import distortion, sized
from farm.planning.inputs import Source
from farm.planning.outputs import is_film_target
from farm.planning.plan import FilmFrame, FrameSequence, Length, loop_frames
from farm.planning.working_folder import working_folder

__all__ = [
    "NO_SOUND",
    "check_film_options",
    "chosen_of",
    "end_of",
    "loop_of",
    "read_film_footage",
]

NO_SOUND: Final = "sound is left out: pictures cannot contain it"
"""What is said of a film of which pictures are made."""

Notify = Callable[[ReadProgress | Notice], None]


def check_film_options(spec: JobSpec, target: str) -> None:
    """Raise BadParameter or BadOutput for options that no film can be rendered with."""
    from farm.media.film import choose_format

    options = spec.film
    if options.rate is not None:
        reason = "an input is a film, which keeps its own times; omit it"
        raise BadParameter("rate", reason)
    if not is_sequence(target):
        choose_format(target, options.codec, options.quality, options.depth, film=None)


def read_film_footage(spec: JobSpec, source: Source, target: str, notify: Notify) -> FrameSequence:
    """Return the chosen frames of a film.

    notify: receives how much of it has been read, then a notice for whatever the output loses.

    Raises BadInput if the film cannot be read, BadOutput if the target cannot be written in its
    format, BadParameter if it has none of the chosen frames or would become too large, StorageFailed if
    the storage fails.
    """
    from farm.media.film import keeps_pixel_shape, read_film
    from farm.media.resample import check_pixels
    from farm.media.shots import ShotFinder, cuts_among

    shots = ShotFinder()
    film = read_film(source.url, lambda done: notify(ReadProgress(source.url, done)), shots.add)
    film = replace(film, cuts=shots.cuts, fades=shots.fades)
    is_squared = film.aspect != 1 and not keeps_pixel_shape(target)
    if is_squared:
        shown = f"{round(film.width * film.aspect)}x{film.height}"
        notify(
            Notice(source.url, f"its pixels are not square; it is rendered as it is shown, {shown}")
        )
        film = replace(film, width=round(film.width * film.aspect), aspect=Fraction(1))
    if note := distortion(spec.plan.size, film.height, film.width):
        notify(Notice(source.url, note))
    height, width = sized(spec.plan.size, film.height, film.width)
    check_pixels(height, width)
    film = replace(film, height=height, width=width)
    form = _form(spec, film, target)
    chosen = chosen_of(spec, len(film.times), source.url, notify)
    for note in _notes(spec, film, target, form):
        notify(Notice(source.url, note))
    loop = loop_of(spec, len(chosen), source.url, notify)
    is_whole, kept = len(chosen) == len(film.times), chosen[: len(chosen) - loop]
    start = 0 if is_whole else film.times[chosen[0]]
    return FrameSequence(
        source.name,
        _film_frames(film, chosen, start),
        target,
        working_folder(target),
        form,
        cuts_among(film.cuts, chosen),
        cuts_among(film.fades, chosen)[1:],
        origin=source.url,
        span=None if is_whole and not loop else _span(film, kept),
        shape=(height, width) if is_squared else None,
        size=(height, width),
        loop=loop,
        length=Length(_seconds(film, film.times[-1] + film.last), len(film.times)),
        end=Length(_seconds(film, _end(film, chosen)), end_of(chosen, len(film.times))),
    )


def chosen_of(spec: JobSpec, count: int, url: str, notify: Notify) -> range:
    """Return the indices of the frames to render, of count frames. Raises BadParameter if there are none.

    url: of the film. notify: receives which of those that were asked for do not exist.
    """
    chosen = chosen_frames(spec.frames, count)
    missing = FrameRange.parse(spec.frames).beyond(count) if spec.frames else ()
    if missing:
        which = f"frames {missing[0]} to {missing[-1]} do"
        if len(missing) == 1:
            which = f"frame {missing[0]} does"
        notify(Notice(url, f"{which} not exist: there are {count}"))
    return chosen


def end_of(chosen: range, count: int) -> int:
    """Return how many of count frames come before the one that would be chosen next."""
    return min(chosen[-1] + chosen.step, count)


def loop_of(spec: JobSpec, count: int, url: str, notify: Notify) -> int:
    """Return how many of these frames at the end fade into those at the start. Raises BadParameter.

    url: of the film. notify: receives that the output has fewer frames than it.
    """
    if not spec.film.is_loop:
        return 0
    loop = loop_frames(count)
    last = f"last {loop} frames fade" if loop > 1 else "last frame fades"
    note = f"it loops: its {last} into its first, and it is as much shorter"
    notify(Notice(url, note))
    return loop


def _form(spec: JobSpec, film: Film, target: str) -> FilmFormat | None:
    """Return the format to write the film in, or None for numbered pictures."""
    from farm.media.film import check_size, choose_format

    if not is_film_target(target):
        check_side(target, film.height, film.width)
        return None
    options = spec.film
    form = choose_format(target, options.codec, options.quality, options.depth, film=film)
    check_size(target, form.codec, film.height, film.width)
    return form


def _notes(spec: JobSpec, film: Film, target: str, form: FilmFormat | None) -> Iterator[str]:
    """Yield a note for everything that the output loses or changes."""
    from farm.media.film import (
        describe_depth_change,
        describe_lost_extras,
        describe_padding,
        describe_sound_changes,
    )

    yield from film.notes
    if form:
        yield from describe_sound_changes(film.url, target)
        yield from describe_padding(form.codec, film.height, film.width)
        if spec.film.depth is None:
            yield from describe_depth_change(film, form)
    elif film.has_sound:
        yield NO_SOUND
    yield from describe_lost_extras(film.url, target if form else None)


def _film_frames(film: Film, chosen: range, start: int) -> list[FilmFrame]:
    ends = [*(film.times[index] for index in chosen[1:]), _end(film, chosen)]
    return [
        FilmFrame(
            film.url,
            index + 1,
            film.times[index] - start,
            end - film.times[index],
            _seconds(film, film.times[index]),
            film.moment(index),
        )
        for index, end in zip(chosen, ends, strict=True)
    ]


def _seconds(film: Film, time: int) -> float:
    """Return the seconds from the start of a film to a time in its time base."""
    return float((time - film.times[0]) * film.time_base)


def _end(film: Film, chosen: range) -> int:
    """Return when the last chosen frame ends, which is when the next one would start."""
    following = end_of(chosen, len(film.times))
    if following < len(film.times):
        return film.times[following]
    return film.times[-1] + film.last


def _span(film: Film, chosen: range) -> tuple[float, float]:
    start, end = film.times[chosen[0]], _end(film, chosen)
    return float(start * film.time_base), float(end * film.time_base)
