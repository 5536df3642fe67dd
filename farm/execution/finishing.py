"""Finishes films and sequences from rendered pictures: cross-fades, encodes and joins.

Renders nothing and loads no network.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import Cancelled, FarmBug, UserError
from farm.execution.failures import storage_errors
from farm.execution.runner import IsCancelled, ReportProgress
from farm.execution.timing import timed
from farm.model.messages import Figures, Order
from farm.model.work import Blend, Encode, Join, Picture

if TYPE_CHECKING:
    from farm.media import Frame


class Finisher:
    """Runs the orders that need no device: to blend, encode and join."""

    def run(self, order: Order, report: ReportProgress, is_cancelled: IsCancelled) -> Figures:
        """Do the work of the order's unit. Raises FarmError only, Cancelled included."""
        seconds: dict[str, float] = {}
        with timed(seconds, "write"), storage_errors(order.unit.target):
            match order.unit.work:
                case Blend() as work:
                    target_sha256 = _blend(order, work)
                case Encode() as work:
                    target_sha256 = _encode(order, work, report, is_cancelled)
                case Join() as work:
                    target_sha256 = _join(order, work, report, is_cancelled)
                case _:
                    raise FarmBug(
                        f"{order.unit.name} was given to a worker that only finishes films"
                    )
        return Figures(
            seconds=seconds, source_sha256=_source_digest(order), target_sha256=target_sha256
        )

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _blend(order: Order, work: Blend) -> str:
    from farm.media import read_record, write_still

    picture = _without_missing(work.picture, order.missing)
    if picture is None:
        raise UserError("the frame was not rendered")
    record = read_record(picture.files[0][1]) or {}
    return write_still(order.unit.target, replace(_cross_fade(picture), depth=work.depth), record)


def _encode(order: Order, work: Encode, report: ReportProgress, is_cancelled: IsCancelled) -> str:
    from farm.media import read_record
    from farm.media.film import encode_part

    pictures = _fill_gaps(work.pictures, order.missing)

    def frames() -> "Iterator[tuple[int, int, Frame]]":
        for done, (planned, picture) in enumerate(zip(work.pictures, pictures, strict=True)):
            if is_cancelled():
                raise Cancelled
            report(done / len(pictures), "encoding", 0)
            yield planned.time, planned.duration, _cross_fade(picture)

    record = read_record(pictures[0].files[0][1]) or {}
    return encode_part(order.unit.target, work.form, frames(), record)


def _join(order: Order, work: Join, report: ReportProgress, is_cancelled: IsCancelled) -> str:
    from farm.media.film import join_parts, read_film_record

    if is_cancelled():
        raise Cancelled
    report(0.0, "joining", 0)
    record = read_film_record(work.parts[0]) or {}
    source = order.unit.source or None
    return join_parts(order.unit.target, work.form, work.parts, source, work.span, record)


def _source_digest(order: Order) -> str:
    """Return the SHA-256 of the film whose sound a join copies; empty for all other work."""
    from farm.storage import input_path, sha256_file

    reads_sound = isinstance(order.unit.work, Join) and order.unit.source
    return sha256_file(input_path(order.unit.source)) if reads_sound else ""


def _cross_fade(picture: Picture) -> "Frame":
    """Return the frame of a picture, cross-faded if the picture has two files."""
    from farm.media import read_still

    first, *others = (read_still(path) for _, path in picture.files)
    if not others:
        return first
    pixels = first.pixels + (others[0].pixels - first.pixels) * picture.share
    return replace(first, pixels=pixels.astype(first.pixels.dtype))


def _without_missing(picture: Picture, missing: tuple[str, ...]) -> Picture | None:
    """Return the picture without the files of missing units; None if no file is left."""
    files = tuple((unit, path) for unit, path in picture.files if unit not in missing)
    return replace(picture, files=files) if files else None


def _fill_gaps(pictures: tuple[Picture, ...], missing: tuple[str, ...]) -> list[Picture]:
    """Return the pictures with each missing one replaced by the nearest, the earlier of two."""
    available = [_without_missing(picture, missing) for picture in pictures]
    rendered = [index for index, picture in enumerate(available) if picture]
    if not rendered:
        raise UserError(f"none of the {len(pictures)} frames in this part was rendered")
    return [
        available[min(rendered, key=lambda other: abs(other - index))]  # type: ignore[misc]
        for index in range(len(available))
    ]
