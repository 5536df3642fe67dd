"""What a film has beside its pictures and sound: chapters, subtitles, a cover, attachments."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from av.container import InputContainer
from av.stream import Disposition

from farm.media.film.codecs import container_of
from farm.media.film.decoding import open_container
from farm.media.film.sound import can_store
from farm.media.film.window import Window

if TYPE_CHECKING:
    from av.container.core import Chapter

__all__ = ["chapters_in", "describe_lost_extras"]

_UNIT: Final = Fraction(1, 10**6)
"""Seconds; the time base of chapters."""

_TIMECODE: Final = "timecode"

_NO_CHAPTERS: Final = frozenset({"", ".gif"})


def chapters_in(source: InputContainer, window: Window) -> "list[Chapter]":
    """Return the chapters of a film that are in the window, cut to it and shifted with it."""
    chapters: list[Chapter] = []
    for chapter in source.chapters():
        unit = chapter["time_base"] or Fraction(1)
        begin, end = window.cut(chapter["start"] * unit, chapter["end"] * unit)
        if begin < end:
            chapters.append(
                {
                    "id": len(chapters) + 1,
                    "start": round(begin / _UNIT),
                    "end": round(end / _UNIT),
                    "time_base": _UNIT,
                    "metadata": dict(chapter["metadata"]),
                }
            )
    return chapters


def describe_lost_extras(source: str, output: str | None) -> tuple[str, ...]:
    """Return a note for each thing beside pictures and sound that the output does not keep.

    output: a film; None for numbered pictures. Raises BadInput if the source cannot be opened,
    BadOutput for a suffix that cannot be written.
    """
    with open_container(source) as film:
        return (*_lost_chapters(film, output), *_lost_subtitles(film, output), *_never_kept(film))


def _lost_chapters(film: InputContainer, output: str | None) -> Iterator[str]:
    count = len(film.chapters())
    if count and _suffix(output) in _NO_CHAPTERS:
        yield f"left out: {_count(count, 'chapter')}"


def _lost_subtitles(film: InputContainer, output: str | None) -> Iterator[str]:
    subtitles = film.streams.subtitles
    if subtitles and output is None:
        yield f"left out: {_count(len(subtitles), 'subtitle track')}"
        return
    for number, stream in enumerate(subtitles, start=1):
        if output and not can_store(stream, container_of(output)):
            codec = stream.codec_context.name if stream.codec_context else "its format"
            reason = f"{_suffix(output)} cannot store {codec}"
            yield f"subtitle track {number} is left out: {reason}"


def _never_kept(film: InputContainer) -> Iterator[str]:
    covers = [s for s in film.streams.video if s.disposition & Disposition.attached_pic]
    if covers:
        yield f"left out: {_count(len(covers), 'cover picture')}"
    if film.streams.attachments:
        names = [stream.metadata.get("filename", "unnamed") for stream in film.streams.attachments]
        yield f"left out: {_count(len(names), 'attachment')} ({', '.join(names)})"
    timecodes = [t for tags in _all_tags(film) if (t := tags.get(_TIMECODE))]
    if timecodes:
        yield f"left out: the timecode, which starts at {timecodes[0]}"
    count = sum(_is_data(stream, film) for stream in film.streams.data)
    if count:
        yield f"left out: {_count(count, 'data track')}"


def _is_data(stream: Any, film: InputContainer) -> bool:
    """Return whether a data track is neither the timecode nor the titles of the chapters."""
    is_titles = bool(film.chapters()) and stream.metadata.get("handler_name") == "SubtitleHandler"
    return not is_titles and _TIMECODE not in _lower(stream.metadata)


def _all_tags(film: InputContainer) -> Iterator[dict[str, str]]:
    """Yield the tags of the film and of its tracks; Matroska writes their names in capitals."""
    yield _lower(film.metadata)
    for stream in film.streams:
        yield _lower(stream.metadata)


def _lower(tags: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in tags.items()}


def _suffix(output: str | None) -> str:
    return PurePath(output or "").suffix.lower()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
