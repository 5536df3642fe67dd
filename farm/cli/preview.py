"""``--preview``: a few frames of each film, and the stills, small, on one sheet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from farm import storage
from farm.cli.exits import Exit
from farm.cli.sheet_folder import working_folder
from farm.cli.sheet_jobs import check_sheet, render_all, write_sheet
from farm.cli.streams import echo
from farm.errors import BadParameter
from farm.host.registry import Registry
from farm.host.schedule import Schedule, at_start
from farm.host.vetting import validate_params
from farm.media import is_film, still_size
from farm.media.contact_sheet import SIDE
from farm.media.film import film_facts
from farm.model.frame_range import chosen_frames
from farm.model.job import FilmOptions, JobSpec
from farm.model.picture_size import sized
from farm.planning.film_needs import is_endless, least_coherence
from farm.planning.inputs import Source, list_inputs

__all__ = ["preview"]

FRAMES: Final = 4
"""Frames of each film."""

_MOST: Final = 24
"""Inputs on a sheet."""


def preview(registry: Registry, spec: JobSpec) -> Exit:
    """Render a few frames of a job, and write them as a sheet. Raises UserError."""
    task = registry.task(spec.task)
    if is_endless(task):
        raise BadParameter("preview", f"{spec.task} needs all frames before one; give few `frames`")
    params = validate_params(task, spec.params)
    schedule = Schedule.of(params)
    output = _sheet_of(spec.output)
    sources = list_inputs(spec.inputs)
    if not any(is_film(source.url) for source in sources):  # the frames are the pictures
        if schedule and not schedule.is_by_frame:
            reason = "shows pictures by themselves; give the times of `at` in frames, such as f240"
            raise BadParameter("preview", reason)
        sources = [sources[index] for index in chosen_frames(spec.frames, len(sources))]
    check_sheet(output, [source.url for source in sources])
    if len(sources) > _MOST:
        echo(f"only the first {_MOST} of {len(sources)} inputs are previewed", err=True)
        sources = sources[:_MOST]
    is_chained = least_coherence(task) != "none"
    if is_chained or spec.film.coherence != "none":
        echo("each frame is previewed by itself, as if its film began there", err=True)
    with working_folder() as folder:
        still = spec.model_copy(update={"params": at_start(params).model_dump(mode="json")})
        jobs = [
            job
            for number, one in enumerate(sources)
            for job in _jobs(
                spec if is_film(one.url) else still,
                one,
                folder / str(number),
                is_chained=is_chained,
            )
        ]
        pictures = [picture for _, rendered in jobs for picture in rendered]
        render_all(registry, [job for job, _ in jobs])
        shown = write_sheet(output, pictures, min(FRAMES, len(pictures)))
    echo(f"previewed {shown}; output: {output}")
    return Exit.DONE


def _sheet_of(output: str) -> str:
    folder, name = storage.parent(output.rstrip("/")), storage.name(output.rstrip("/"))
    stem = name.removesuffix(storage.suffix(name))
    return storage.join(folder, f"{stem}-preview.png")


def _jobs(
    spec: JobSpec, source: Source, folder: Path, *, is_chained: bool
) -> Iterator[tuple[JobSpec, list[tuple[str, Path]]]]:
    """Yield the jobs that render one input into a folder, and their pictures, each with a text.

    is_chained: frames that one job renders continue each other.
    """
    if not is_film(source.url):
        file = folder / "still.png"
        width, height = still_size(source.url)
        yield _small(spec, source, str(file), None, (height, width)), [(source.name, file)]
        return
    film = film_facts(source.url)
    numbers = _spread(chosen_frames(spec.frames, film.frames))
    pictures = {n: (f"{source.name}, frame {n}", folder / f"{n}.png") for n in numbers}
    shape = film.height, film.width
    if is_chained:
        for number, picture in pictures.items():
            yield _small(spec, source, str(picture[1]), str(number), shape), [picture]
        return
    frames = f"{numbers[0]}-{numbers[-1]}x{numbers.step}"
    yield _small(spec, source, f"{folder}/%d.png", frames, shape), [*pictures.values()]


def _spread(chosen: range) -> range:
    """Return the numbers, from 1, of a few frames from all of those at these indices."""
    shown = min(FRAMES, len(chosen))
    every = len(chosen) // shown
    few = chosen[every // 2 :: every][:shown]
    return range(few.start + 1, few.stop + 1, few.step)


def _small(
    spec: JobSpec, source: Source, output: str, frames: str | None, shape: tuple[int, int]
) -> JobSpec:
    """Return the job of a preview. shape: height and width of the source."""
    changes = {
        "inputs": (source.url,),
        "output": output,
        "frames": frames,
        "film": FilmOptions(),
        "plan": spec.plan.model_copy(update={"size": _size(spec.plan.size, *shape)}),
    }
    return spec.model_copy(update=changes)


def _size(asked: str | None, height: int, width: int) -> str | None:
    """Return the size that was asked for, made smaller if it is larger than a picture on a sheet."""
    height, width = sized(asked, height, width)
    ratio = SIDE / max(height, width)
    if ratio >= 1:
        return asked
    return (
        f"{max(1, round(width * ratio))}x{max(1, round(height * ratio))}"
        if asked
        else f"long={SIDE}"
    )
