"""Finishes films and sequences from rendered pictures: cross-fades, encodes and joins.

Renders nothing and loads no network.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import Cancelled, FarmBug, UserError
from farm.execution.aim import without_aim
from farm.execution.failures import output_errors, storage_errors
from farm.execution.frame_source import FrameSource
from farm.execution.provenance import film_provenance
from farm.execution.runner import IsCancelled, ReportProgress
from farm.execution.timing import timed
from farm.model.messages import Figures, Order
from farm.model.work import Blend, Encode, Join, Picture
from farm.storage import FileDigests, KnownFiles, size_of

if TYPE_CHECKING:
    from farm.engine.world import World
    from farm.media import Frame


class Finisher:
    """Runs the orders that need no device: to blend, encode and join."""

    def __init__(self) -> None:
        self._digests = FileDigests()
        self._source = FrameSource()

    def run(
        self,
        order: Order,
        report: ReportProgress,
        is_cancelled: IsCancelled,
        _world: "World | None" = None,
    ) -> Figures:
        """Do the work of the order's unit. Raises FarmError only, Cancelled included."""
        seconds: dict[str, float] = {}
        files = KnownFiles(order.files, self._digests)
        with (
            timed(seconds, "write"),
            storage_errors(order.unit.source),
            output_errors(order.unit.target),
        ):
            source_sha256 = _film_digest(order, files)
            match order.unit.work:
                case Blend() as work:
                    target_sha256, pixels = self._blend(order, work, files)
                case Encode() as work:
                    target_sha256, pixels = self._encode(order, work, files, report, is_cancelled)
                case Join() as work:
                    target_sha256, pixels = _join(order, work, files, report, is_cancelled), 0
                case _:
                    raise FarmBug(
                        f"{order.unit.name} was given to a worker that only finishes films"
                    )
        return Figures(
            seconds=seconds,
            source_sha256=source_sha256,
            target_sha256=target_sha256,
            target_bytes=size_of(order.unit.target) if pixels else 0,
            target_pixels=pixels,
        )

    def close(self) -> None:
        """Close open films."""
        self._source.close()

    def _blend(self, order: Order, work: Blend, files: KnownFiles) -> tuple[str, int]:
        """Write the picture, and return its SHA-256 and its pixels."""
        from farm.media import read_record, write_still

        picture = _without_missing(work.picture, order.missing)
        if picture is None:
            raise UserError("the frame was not rendered")
        record = without_aim(read_record(picture.own[1]) or {})
        if work.picture.into:
            record = record | {"is_loop": True}
        frame = replace(self._shown(picture, files), depth=work.depth)
        return write_still(order.unit.target, frame, record), _pixels(frame)

    def _encode(
        self,
        order: Order,
        work: Encode,
        files: KnownFiles,
        report: ReportProgress,
        is_cancelled: IsCancelled,
    ) -> tuple[str, int]:
        """Write the part, and return its SHA-256 and the pixels of all its frames."""
        from farm.media import read_record
        from farm.media.film import encode_part

        pictures, pixels = _fill_gaps(work.pictures, order.missing), 0

        def frames() -> "Iterator[tuple[int, int, Frame]]":
            nonlocal pixels
            for done, (planned, picture) in enumerate(zip(work.pictures, pictures, strict=True)):
                if is_cancelled():
                    raise Cancelled
                report(done / len(pictures), "encoding", 0)
                frame = self._shown(picture, files)
                pixels += _pixels(frame)
                yield planned.time, planned.duration, frame

        record = without_aim(read_record(pictures[0].own[1]) or {})
        sha256 = encode_part(order.unit.target, work.form, frames(), record)
        return sha256, pixels

    def _shown(self, picture: Picture, files: KnownFiles) -> "Frame":
        """Return the frame of a picture, on its way into another one if the film loops."""
        from farm.media import read_still

        frame = self._cross_fade(picture, files)
        if picture.into is None:
            return frame
        return _faded(frame, read_still(picture.into[1]), picture.into_share)

    def _cross_fade(self, picture: Picture, files: KnownFiles) -> "Frame":
        """Return the frame of a picture, cross-faded if the picture has two files."""
        from farm.media import read_still

        first, *others = (read_still(path) for _, path in picture.files)
        if not others:
            return first
        from farm.media.strength import cross_fade

        source, _ = self._source.read(picture.source, picture.moment, files)
        pixels = cross_fade(first.pixels, others[0].pixels, picture.share, source.pixels)
        return replace(first, pixels=pixels)


def _faded(one: "Frame", other: "Frame", share: float) -> "Frame":
    """Return a frame between two that show different things, as sharp as they are. share: of the other.

    If only one has alpha, the other is opaque.
    """
    import numpy as np

    from farm.media.strength import cross_fade

    pixels = cross_fade(one.pixels, other.pixels, share, np.zeros_like(one.pixels))
    if one.alpha is None and other.alpha is None:
        return replace(one, pixels=pixels)
    opaque = np.ones(one.pixels.shape[:2], np.float32)
    start, end = (opaque if frame.alpha is None else frame.alpha for frame in (one, other))
    return replace(one, pixels=pixels, alpha=start + np.float32(share) * (end - start))


def _pixels(frame: "Frame") -> int:
    return int(frame.pixels.shape[0] * frame.pixels.shape[1])


def _film_digest(order: Order, files: KnownFiles) -> str:
    """Return the SHA-256 of the film that a part or a joined film is rendered from; empty if none is.

    Raises InputChanged if the film is not what was planned.
    """
    film = "" if isinstance(order.unit.work, Blend) else order.unit.source
    return files.digest(film) if film else ""


def _join(
    order: Order, work: Join, files: KnownFiles, report: ReportProgress, is_cancelled: IsCancelled
) -> str:
    """Join the parts. Raises InputChanged, and writes no film, if the source changes meanwhile."""
    from farm.media.film import join_parts, read_film_record

    if is_cancelled():
        raise Cancelled
    sha256 = _film_digest(order, files)
    report(0.0, "joining", 0)
    record = film_provenance(order, work, read_film_record(work.parts[0]) or {}, sha256)
    return join_parts(
        order.unit.target,
        work.form,
        work.parts,
        order.unit.source or None,
        work.span,
        record,
        check=lambda: _film_digest(order, files),
    )


def _without_missing(picture: Picture, missing: tuple[str, ...]) -> Picture | None:
    """Return the picture without the files of missing units; None if no file is left."""
    files = tuple((unit, path) for unit, path in picture.files if unit not in missing)
    into = None if picture.into is None or picture.into[0] in missing else picture.into
    if not files:
        return replace(picture, files=(into,), into=None) if into else None
    return replace(picture, files=files, into=into)


def _fill_gaps(pictures: tuple[Picture, ...], missing: tuple[str, ...]) -> list[Picture]:
    """Return the pictures with each missing one replaced by the nearest, the earlier of two."""
    available = [_without_missing(picture, missing) for picture in pictures]
    rendered = [index for index, picture in enumerate(available) if picture]
    if not rendered:
        raise UserError("no frame of this part was rendered")
    return [
        available[min(rendered, key=lambda other: abs(other - index))]  # type: ignore[misc]
        for index in range(len(available))
    ]
