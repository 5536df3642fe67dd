"""What the record in a rendered file says about the job that wrote it."""

from collections.abc import Iterator, Mapping
from typing import Any

from farm import storage
from farm.errors import BadInput
from farm.host.keyframes import is_keyframe
from farm.host.over_time import TimedParams
from farm.host.task import Task
from farm.model.job import FilmOptions, JobSpec, Plan
from farm.planning.film_needs import is_endless

__all__ = ["record_of", "recorded_files", "recorded_params", "recorded_spec"]


def record_of(file: str) -> dict[str, Any]:
    """Return the record in a picture or a film. Raises BadInput if there is none."""
    from farm.media import is_film, read_record
    from farm.media.film import read_film_record

    if not storage.exists(file):
        raise BadInput(file, "no such file; check the name")
    record = read_film_record(file) if is_film(file) else read_record(file)
    if record is None:
        raise BadInput(file, "has no record; the farm did not write it, or it was edited since")
    return record


def recorded_params(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task's parameters, in which each file is named by its name alone."""
    return {key: _named(value) for key, value in record.get("params", {}).items()}


def recorded_files(value: object) -> Iterator[tuple[str, str]]:
    """Yield the name and the SHA-256 of each file in a recorded parameter."""
    match value:
        case {"name": str(name), "sha256": str(digest)}:
            yield name, digest
        case Mapping():
            for item in value.values():
                yield from recorded_files(item)
        case list():
            for item in value:
                yield from recorded_files(item)


def _named(value: object) -> object:
    match value:
        case {"name": str(name), "sha256": str()}:
            return name
        case Mapping():
            return {key: _named(item) for key, item in value.items()}
        case list():
            return [_named(item) for item in value]
    return value


def recorded_spec(task: type[Task], record: Mapping[str, Any], file: str) -> JobSpec | None:
    """Return the job that writes this file again, beside the files that it names.

    None for one that only a longer job writes: a frame that continues others, or comes from numbered
    pictures, a film of such pictures, or a still beside films whose parameters change.
    """
    if "source" not in record or not _is_alone(task, record) or _needs_its_film(task, record):
        return None
    film = dict(record.get("film", {}))
    frames = film.pop("frames", None)
    if "frame" in record:
        frames = str(record["frame"])
    return JobSpec(
        task=record["task"],
        params=recorded_params(record),
        inputs=(record["source"]["name"],),
        output=storage.name(file),
        frames=None if frames == "all" else frames,
        film=FilmOptions(depth=record["depth"], **film),
        plan=Plan.model_validate(record["plan"]),
    )


def _needs_its_film(task: type[Task], record: Mapping[str, Any]) -> bool:
    """Return whether this is a still of a job that rendered films, too: alone, its parameters have no time."""
    if record.keys() & {"film", "frame"} or not issubclass(task.Params, TimedParams):
        return False
    return any(map(is_keyframe, record["params"].get("at", ())))


def _is_alone(task: type[Task], record: Mapping[str, Any]) -> bool:
    """Return whether a file was rendered from one picture or film, and from no frames before it."""
    from farm.media.film import is_film_name

    if is_endless(task):
        return "film" in record
    if "film" in record or "frame" in record:
        has_others = record.keys() & {"coherence", "is_loop"}
        return not has_others and is_film_name(record["source"]["name"])
    return True
