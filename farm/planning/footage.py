"""Finds out what a job renders: stills as they are, films and sequences frame by frame.

Reads each film once, from the first frame to the last. Decides no schedule.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from farm.errors import (
    BadInput,
    BadOutput,
    BadParameter,
    StorageFailed,
    StorageUnavailable,
    UserError,
)
from farm.media import is_film, is_sequence
from farm.model.events import Notice, ReadProgress
from farm.model.film import Coherence
from farm.model.frame_range import FrameRange
from farm.model.job import JobSpec
from farm.planning.film_footage import (
    check_film_options,
    chosen_of,
    end_of,
    loop_of,
    read_film_footage,
)
from farm.planning.inputs import Source
from farm.planning.outputs import (
    is_film_target,
    is_one_frame,
    is_rendered_by_frame,
    targets_for,
)
from farm.planning.picture_footage import (
    check_still,
    note_distortion,
    note_older_pictures,
    picture_footage,
)
from farm.planning.plan import Footage, FrameSequence, Length, loop_frames

Notify = Callable[[ReadProgress | Notice], None]

Still = tuple[str, str, str]
Refused = tuple[str, str, str, str]


def read_footage(
    spec: JobSpec,
    sources: Sequence[Source],
    notify: Notify,
    *,
    least: Coherence = "none",
    is_endless: bool,
) -> Footage:
    """Return what the job renders. Raises BadInput, BadOutput or BadParameter.

    One of many sources that cannot be rendered is listed as refused. notify: receives how much of
    a film has been read, then a notice for whatever the output loses. least: the coherence of the
    task's films, which nobody asked for.
    is_endless: each frame is rendered from the previous one.
    """
    if is_endless or is_film_target(spec.output) or is_sequence(spec.output):
        sequence = _single_sequence(spec, sources, notify, is_endless=is_endless)
        for note in note_older_pictures(sequence):
            notify(Notice(spec.output, note))
        return Footage(sequences=(sequence,))
    if is_one_frame(sources, spec.output, spec.frames):
        return Footage(sequences=(_one_frame(spec, sources[0], least, notify),))
    many = len(sources) > 1
    films = [source for source in sources if is_rendered_by_frame(source, spec.output, many)]
    are_films = {source.url for source in films}
    if not films:
        _refuse_film_options(spec, least)
    for target in targets_for(films, spec.output, many):
        check_film_options(spec, target)
    others = [source for source in sources if source.url not in are_films]
    stills, too_large = _stills(spec, others, notify, many)
    sequences, unreadable = _films(spec, films, notify, many)
    return Footage(stills, sequences, [*too_large, *unreadable])


def _stills(
    spec: JobSpec,
    sources: Sequence[Source],
    notify: Notify,
    many: bool,  # noqa: FBT001 - as target_for
) -> tuple[list[Still], list[Refused]]:
    """Return the stills, and those that are too large for their format or to render."""
    stills: list[Still] = []
    refused: list[Refused] = []
    for notice in note_distortion(sources, spec.plan.size):
        notify(notice)
    for source, target in zip(sources, targets_for(sources, spec.output, many), strict=True):
        try:
            check_still(source, target, spec.plan.size)
        except (BadOutput, BadParameter) as error:
            if not many:
                raise
            refused.append((source.name, source.url, target, error.reason))
        else:
            stills.append((source.name, source.url, target))
    return stills, refused


def _films(
    spec: JobSpec,
    sources: Sequence[Source],
    notify: Notify,
    many: bool,  # noqa: FBT001 - as target_for
) -> tuple[list[FrameSequence], list[Refused]]:
    """Return the films' frames, and the films that cannot be rendered."""
    sequences: list[FrameSequence] = []
    refused: list[Refused] = []
    targets = targets_for(sources, spec.output, many)
    for number, source in enumerate(sources, 1):
        target = targets[number - 1]
        tell = _numbered(notify, number, len(sources))
        try:
            sequences.append(read_film_footage(spec, source, target, tell))
        except (UserError, StorageFailed) as error:
            if not many or isinstance(error, StorageUnavailable):
                raise
            reason = getattr(error, "reason", str(error))
            refused.append((source.name, source.url, target, reason))
    return sequences, refused


def _numbered(notify: Notify, number: int, count: int) -> Notify:
    """Return a notify that adds which of how many films is being read."""

    def tell(event: ReadProgress | Notice) -> None:
        if isinstance(event, ReadProgress):
            event = replace(event, number=number, count=count)
        notify(event)

    return tell


def _one_frame(spec: JobSpec, source: Source, least: Coherence, notify: Notify) -> FrameSequence:
    """Return the single frame of a film that a picture file is rendered from."""
    _refuse_options_of_films(spec, least, "a single frame is rendered")
    one = spec.model_copy(update={"frames": f"{spec.frames}-{spec.frames}"})
    return read_film_footage(one, source, spec.output, notify)


def _refuse_film_options(spec: JobSpec, least: Coherence) -> None:
    if spec.frames is not None:
        raise BadParameter("frames", "only applies to films, and every input is a still")
    _refuse_options_of_films(spec, least, "every input is a still")


def _refuse_options_of_films(spec: JobSpec, least: Coherence, reason: str) -> None:
    for name, is_set in (
        ("coherence", spec.film.coherence != least),
        ("codec", spec.film.codec is not None),
        ("rate", spec.film.rate is not None),
        ("strict", spec.film.is_strict),
        ("loop", spec.film.is_loop),
    ):
        if is_set:
            raise BadParameter(name, f"only applies to films, and {reason}")


def _single_sequence(
    spec: JobSpec, sources: Sequence[Source], notify: Notify, *, is_endless: bool
) -> FrameSequence:
    films = [source for source in sources if is_film(source.url)]
    if is_sequence(spec.output) and spec.film.codec:
        reason = f"numbered pictures have none ({spec.film.codec!r}); omit it"
        raise BadParameter("codec", reason)
    if is_endless:
        return _endless_sequence(spec, sources, notify)
    if films and len(sources) > 1:
        raise BadOutput(spec.output, f"{len(sources)} inputs need a folder; end the path with /")
    if films:
        check_film_options(spec, spec.output)
        return read_film_footage(spec, films[0], spec.output, notify)
    chosen = chosen_of(spec, len(sources), spec.output, notify)
    loop = loop_of(spec, len(chosen), spec.output, notify)
    sequence = picture_footage(spec, [sources[i] for i in chosen], [i + 1 for i in chosen], notify)
    if len(chosen) == 1 and sequence.form and sequence.form.codec != "gif":
        note = "one picture makes a film of one frame; for a picture, end the path with .png"
        notify(Notice(spec.output, note))
    end = _length(spec, end_of(chosen, len(sources)))
    return replace(sequence, loop=loop, length=_length(spec, len(sources)), end=end)


def _endless_sequence(spec: JobSpec, sources: Sequence[Source], notify: Notify) -> FrameSequence:
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
    loop = loop_frames(asked.last) if spec.film.is_loop else 0
    frames = range(1, asked.last + loop + 1)
    sequence = picture_footage(spec, [sources[0]] * len(frames), frames, notify)
    length = _length(spec, len(frames))
    return replace(sequence, name=sources[0].name, is_endless=True, loop=loop, length=length)


def _length(spec: JobSpec, frames: int) -> Length:
    return Length(float(frames / spec.film.frame_rate), frames)
