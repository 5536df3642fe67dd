"""Making films and sequences of what was rendered: mixing, encoding, joining.

Renders nothing and loads no network; reads and writes files alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import Cancelled, FarmBug, UserError
from farm.execution.failures import storage_errors
from farm.execution.timing import timed
from farm.model.messages import Figures, Order
from farm.model.work import Blend, Encode, Join, Picture

if TYPE_CHECKING:
    from farm.media import Frame

IsCancelled = Callable[[], bool]


class Finisher:
    """Runs the orders that need no device."""

    def run(
        self, order: Order, report: Callable[[float, str, int], None], is_cancelled: IsCancelled
    ) -> Figures:
        """Do what the order's unit asks. Raises FarmError, Cancelled among them."""
        seconds: dict[str, float] = {}
        with timed(seconds, "write"), storage_errors(order.unit.target):
            match order.unit.work:
                case Blend() as work:
                    written = _blend(order, work)
                case Encode() as work:
                    written = _encode(order, work, report, is_cancelled)
                case Join() as work:
                    written = _join(order, work, report, is_cancelled)
                case _:
                    raise FarmBug(f"{order.unit.name} was given to a worker that only finishes")
        return Figures(seconds=seconds, source_sha256=_digest(order), target_sha256=written)

    def close(self) -> None:
        """Let go of nothing: no file stays open."""


def _blend(order: Order, work: Blend) -> str:
    from farm.media import read_record, write_still

    whole = _without(work.picture, order.missing)
    if whole is None:
        raise UserError("it was not rendered")
    record = read_record(whole.files[0][1]) or {}
    return write_still(order.unit.target, replace(_mixed(whole), depth=work.depth), record)


def _encode(
    order: Order, work: Encode, report: Callable[[float, str, int], None], is_cancelled: IsCancelled
) -> str:
    from farm.media import read_record
    from farm.media.film import encode_part

    filled = _filled(work.pictures, order.missing)

    def frames() -> "Iterator[tuple[int, int, Frame]]":
        for done, (shown, picture) in enumerate(zip(work.pictures, filled, strict=True)):
            if is_cancelled():
                raise Cancelled
            report(done / len(filled), "encoding", 0)
            yield shown.time, shown.duration, _mixed(picture)

    record = read_record(filled[0].files[0][1]) or {}
    return encode_part(order.unit.target, work.form, frames(), record)


def _join(
    order: Order, work: Join, report: Callable[[float, str, int], None], is_cancelled: IsCancelled
) -> str:
    from farm.media.film import join_parts, read_film_record

    if is_cancelled():
        raise Cancelled
    report(0.0, "joining", 0)
    record = read_film_record(work.parts[0]) or {}
    source = order.unit.source or None
    return join_parts(order.unit.target, work.form, work.parts, source, work.span, record)


def _digest(order: Order) -> str:
    from farm.storage import input_path, sha256_file

    is_join = isinstance(order.unit.work, Join) and order.unit.source
    return sha256_file(input_path(order.unit.source)) if is_join else ""


def _mixed(picture: Picture) -> "Frame":
    """Return the picture's frame, faded over from its first file to its second."""
    from farm.media import read_still

    first, *others = (read_still(path) for _, path in picture.files)
    if not others:
        return first
    pixels = first.pixels + (others[0].pixels - first.pixels) * picture.share
    return replace(first, pixels=pixels.astype(first.pixels.dtype))


def _without(picture: Picture, missing: tuple[str, ...]) -> Picture | None:
    """Return the picture from what there is of it; None where there is nothing."""
    files = tuple((unit, path) for unit, path in picture.files if unit not in missing)
    return replace(picture, files=files) if files else None


def _filled(pictures: tuple[Picture, ...], missing: tuple[str, ...]) -> list[Picture]:
    """Return the pictures with each gap filled by the nearest one, the earlier of two."""
    there = [_without(picture, missing) for picture in pictures]
    rendered = [place for place, picture in enumerate(there) if picture]
    if not rendered:
        raise UserError(f"none of its {len(pictures)} frames was rendered")
    return [
        there[min(rendered, key=lambda other: abs(other - place))]  # type: ignore[misc]
        for place in range(len(there))
    ]
