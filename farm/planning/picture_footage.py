"""Turns pictures into the frames of a sequence with a constant rate, and checks their sizes."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from farm import storage
from farm.errors import BadInput, FarmError
from farm.media import WRITABLE, check_side, is_sequence, still_size
from farm.media.blank import is_blank
from farm.media.resample import check_pixels
from farm.media.sequence import NumberedPath
from farm.model.events import Notice
from farm.model.film import FilmFormat
from farm.model.job import JobSpec
from farm.model.picture_size import distortion, sized
from farm.planning.inputs import Source
from farm.planning.plan import FilmFrame, FrameSequence, picture_path
from farm.planning.working_folder import working_folder

__all__ = [
    "check_still",
    "note_distortion",
    "note_older_pictures",
    "picture_footage",
    "still_shape",
]

Notify = Callable[[Notice], None]

_UNLIMITED: Final = 2**28
"""Pixels per side; formats that allow more can store every picture that can be read."""


def picture_footage(
    spec: JobSpec, sources: Sequence[Source], numbers: Sequence[int], notify: Notify
) -> FrameSequence:
    """Return pictures as a sequence. numbers: of each frame, counted from 1.

    notify: receives a notice for whatever the output changes. If all pictures are from one
    sequence, numbered pictures that are written keep its numbers.

    Raises BadInput if the pictures of a film differ in size, BadOutput if the output cannot be
    written at this size, BadParameter for an unsupported choice, or if they would become too large.
    """
    for notice in note_distortion(sources, spec.plan.size):
        notify(notice)
    rate = spec.film.frame_rate
    frames = [
        FilmFrame(source.url, number, index, 1, float((number - 1) / rate), label=label)
        for index, (source, number, label) in enumerate(
            zip(sources, numbers, _labels(sources), strict=True)
        )
    ]
    if is_sequence(spec.output):
        form = None
        for source in sources:
            check_still(source, spec.output, spec.plan.size)
        if spec.film.coherence != "none" or spec.film.is_loop:
            _common_size((source.url for source in sources), spec.plan.size)
    else:
        form = _form(spec, sources, notify)
    stem = os.path.splitext(os.path.basename(spec.output))[0]  # noqa: PTH119, PTH122 - also for URLs
    return FrameSequence(stem, frames, spec.output, working_folder(spec.output), form)


def _labels(sources: Sequence[Source]) -> Sequence[int | None]:
    """Return the numbers of the pictures in their sequence, if each has its own."""
    numbers = [source.number for source in sources]
    is_one_sequence = None not in numbers and len(set(numbers)) == len(numbers)
    return numbers if is_one_sequence else [None] * len(numbers)


def _form(spec: JobSpec, sources: Sequence[Source], notify: Notify) -> FilmFormat:
    from farm.media.film import check_size, choose_format, describe_padding

    options = spec.film
    form = choose_format(
        spec.output,
        options.codec,
        options.quality,
        options.depth,
        film=None,
        rate=options.frame_rate,
    )
    if size := _common_size((source.url for source in sources), spec.plan.size):
        check_size(spec.output, form.codec, *size)
        for note in describe_padding(form.codec, *size):
            notify(Notice(spec.output, note))
    return form


def _common_size(urls: Iterable[str], size: str | None) -> tuple[int, int] | None:
    """Return the height and width of all pictures; None if none can be read. Raises BadInput.

    size: that they are brought to.

    A picture that cannot be read is passed over, because rendering it reports why.
    """
    sizes = {url: found for url in dict.fromkeys(urls) if (found := still_shape(url, size))}
    if not sizes:
        return None
    first, (height, width) = next(iter(sizes.items()))
    for url, found in sizes.items():
        if found != (height, width):
            reason = f"{found[1]}x{found[0]} pixels, but {first} has {width}x{height}"
            raise BadInput(url, f"{reason}; all pictures of one film must have the same size")
    return height, width


def still_shape(url: str, size: str | None) -> tuple[int, int] | None:
    """Return the height and width that a picture is rendered at, or None if it cannot be read.

    size: that it is brought to. Raises BadParameter if it would become too large.
    """
    try:
        width, height = still_size(url)
    except FarmError:
        return None
    shape = sized(size, height, width)
    check_pixels(*shape)
    return shape


def check_still(source: Source, target: str, size: str | None = None) -> None:
    """Raise BadOutput or BadParameter if a picture, brought to a size, is too large to be written."""
    still_format = WRITABLE.get(storage.suffix(target).lower())
    is_limited = still_format is not None and still_format.max_side < _UNLIMITED
    if size is None and not is_limited:
        return
    if found := still_shape(source.url, size):
        check_side(target, *found)


def note_distortion(sources: Iterable[Source], size: str | None) -> Iterator[Notice]:
    """Yield a notice for the first picture whose proportions a size changes."""
    if size is None or "x" not in size:  # any other size keeps proportions
        return
    for url in dict.fromkeys(source.url for source in sources if not is_blank(source.url)):
        with suppress(FarmError):
            width, height = still_size(url)
            if note := distortion(size, height, width):
                yield Notice(url, note)
                return


def note_older_pictures(sequence: FrameSequence) -> Iterator[str]:
    """Yield a note if numbered pictures of a longer run are beside those that will be written."""
    pattern = NumberedPath.parse(sequence.target)
    folder = storage.parent(sequence.target)
    if sequence.form or pattern is None or not storage.is_folder(folder):
        return
    written = {picture_path(sequence, frame) for frame in sequence.frames}
    beside = (entry.url for entry in storage.entries(folder))
    older = {url: n for url in beside if (n := pattern.number_of(url)) is not None}
    names = [storage.name(url) for url in sorted(older.keys() - written, key=older.__getitem__)]
    if len(names) == 1:
        yield f"another numbered picture in this folder will stay: {names[0]}; remove it if it is not needed"
    elif names:
        which = f"{names[0]} to {names[-1]}"
        yield (
            f"{len(names)} other numbered pictures in this folder will stay: {which}; "
            "remove those that are not needed"
        )
