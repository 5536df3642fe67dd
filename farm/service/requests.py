"""Turns requests for jobs into specs. Whatever a request names is in a root, or is refused."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from farm import storage
from farm.errors import BadInput, BadParameter, OutsideRoots, TooLarge, WrongOwner
from farm.host.registry import Registry
from farm.host.task import NetworkParams, Run, Task
from farm.host.vetting import validate_params
from farm.media.blank import is_blank
from farm.model.frame_range import FrameRange
from farm.model.job import PLANNED, JobSpec
from farm.model.root_names import check_below_root
from farm.model.sent_files import is_sent
from farm.planning.film_needs import is_endless, with_least_coherence
from farm.planning.inputs import check_named, found_files
from farm.service.roots import Roots
from farm.service.wire import JobRequest

__all__ = ["asks_for", "check_planned", "shown_params", "shown_spec", "spec_of"]

MOST_UNITS: Final = 1_000_000
MOST_LISTED: Final = 100
"""Inputs of a job that are folders, sequences or globs; each of them is listed."""
MOST_STARS: Final = 2
"""Parts ``**`` of a glob; each multiplies the time that it takes."""
MOST_NAMED: Final = 1000
"""Most inputs whose outputs are named before a submission is answered."""


def spec_of(request: JobRequest, registry: Registry, roots: Roots, holder: str = "") -> JobSpec:
    """Return the spec of a request, with absolute locations.

    holder: of the token that the request came with, who is the owner; anybody may be without a token.

    Raises UserError: UnknownName, BadParameter for the first parameter that is refused, OutsideRoots,
    WrongOwner, and TooLarge for more frames, folders or globs than a job may have.
    """
    if holder and request.owner not in {"", holder}:
        raise WrongOwner(request.owner, holder)
    task = registry.task(request.task)
    inputs = tuple(_input(text, roots) for text in request.inputs)
    _check_frames(task, request.frames)
    _check_listed(inputs)
    _check_inputs(task, inputs, roots, is_later=bool(request.after))
    return JobSpec(
        task=request.task,
        params=_params(task, request.params, registry, roots),
        inputs=inputs,
        output=_output(request.output, roots),
        frames=request.frames,
        film=request.film,
        plan=request.plan,
        priority=request.priority,
        keeps_going=request.keeps_going,
        overwrite=request.overwrite,
        name=request.name,
        owner=holder or request.owner,
        after=request.after,
        workers=request.workers,
    )


def check_planned(spec: JobSpec, registry: Registry, roots: Roots) -> None:
    """Check a job that waited for others once more, when it is planned: only now are its inputs there.

    Raises UserError: OutsideRoots for what a link leads to, and TooLarge.
    """
    if spec.after:
        task = registry.task(spec.task)
        _check_inputs(task, spec.inputs, roots, is_later=False)
        _check_files(task(validate_params(task, spec.params)), roots)


def asks_for(spec: JobSpec, planned: JobSpec, registry: Registry) -> bool:
    """Return whether a request is the one that a job came from, whose spec planning has completed.

    Priorities are changed later, and whoever asks again may hold another of the farm's tokens.
    """
    task = registry.task(spec.task)
    return _asked(spec, task, registry) == _asked(planned, task, registry)


def _asked(spec: JobSpec, task: type[Task], registry: Registry) -> dict[str, Any]:
    """Return what a request asks for. The name of a run's network is left out: planning makes it exact."""
    content = spec.model_dump(exclude={"film", "priority", "owner", *PLANNED})
    params = _of_today(spec.params, task)
    if params.get("network") not in registry.networks:
        params.pop("network", None)
    return content | {"params": params, "film": with_least_coherence(spec.film, task)}


def _of_today(params: dict[str, Any], task: type[Task]) -> dict[str, Any]:
    """Return parameters as this version stores them. An earlier one may have stored what is refused now."""
    try:
        return validate_params(task, params).model_dump(mode="json")
    except BadParameter:
        return dict(params)


def _check_frames(task: type[Task], frames: str | None) -> None:
    """Raise TooLarge for more frames than a job may have, where nothing else bounds them."""
    if frames and is_endless(task):
        chosen = FrameRange.parse(frames)
        if chosen.last:
            _check_number((chosen.last - chosen.first) // chosen.step + 1)


def _check_listed(inputs: Sequence[str]) -> None:
    """Raise TooLarge for inputs that take too long to list."""
    listed = sum(not (is_blank(text) or storage.is_file(text)) for text in inputs)
    if listed > MOST_LISTED:
        reason = f"{listed:,} folders, sequences and globs, and a job may have {MOST_LISTED}"
        raise TooLarge(f"{reason}; name files, or divide it")
    for text in inputs:
        if text.split("/").count("**") > MOST_STARS:
            raise TooLarge(f"a glob has more than {MOST_STARS} parts **; name a folder instead")


def _files_below(inputs: Sequence[str]) -> Iterator[str]:
    """Yield inputs of this machine that are files, and the files in those that are folders, where a run finds its data set."""
    for location in inputs:
        if is_blank(location) or storage.is_remote(location):
            continue
        if storage.is_folder(location):
            yield from (entry.url for entry in storage.files_below(location))
        else:
            yield location


def _check_inputs(task: type[Task], inputs: Sequence[str], roots: Roots, *, is_later: bool) -> None:
    """Raise UserError for inputs that are not there, too many, or reached by a link out of the roots.

    is_later: they may be the outputs of jobs that have not run yet.
    """
    if issubclass(task, Run):
        roots.check_real(_files_below(inputs))
        return
    for given in [[each] for each in inputs] if is_later else [inputs]:
        try:
            urls = found_files(given)
        except BadInput:
            if is_later:
                continue
            raise
        _check_number(len(urls))
        if len(urls) <= MOST_NAMED and not is_later:
            check_named(urls)
        roots.check_real(url for url in urls if not is_blank(url))


def _check_number(units: int) -> None:
    if units > MOST_UNITS:
        raise TooLarge(f"{units:,} frames, and a job may have {MOST_UNITS:,}; divide it")


def _input(text: str, roots: Roots) -> str:
    return text if is_blank(text) else roots.resolve(text)


def _output(text: str, roots: Roots) -> str:
    """Return where a job writes. What clients have sent stays what its digest says."""
    if is_sent(text):
        raise OutsideRoots(
            text[:80], "a file that was sent is never replaced; choose another output"
        )
    check_below_root(text, roots.names)
    return roots.resolve(text)


def _params(
    task: type[Task], values: Mapping[str, Any], registry: Registry, roots: Roots
) -> dict[str, Any]:
    """Return a task's parameters with absolute paths. Raises BadParameter, OutsideRoots."""
    absolute = {name: _absolute(name, value, roots) for name, value in values.items()}
    params = validate_params(task, absolute)
    _check_files(task(params), roots)
    if isinstance(params, NetworkParams):
        _check_network(params.network, registry, roots)
    return params.model_dump(mode="json")


def _check_files(task: Task, roots: Roots) -> None:
    """Raise OutsideRoots for a file that parameters name, unless it comes with the task."""
    for text, path in task.files().items():
        is_shipped = "/" not in text and os.path.abspath(text) != path  # noqa: PTH100
        if not is_shipped and not roots.contains(str(path)):
            raise OutsideRoots(roots.hidden(text), "a file that parameters name is in no root")


def _absolute(name: str, value: Any, roots: Roots) -> Any:
    """Return a value with each text ROOT/path in it made absolute."""
    match value:
        case str() if value.startswith(("/", "~")) or "://" in value or "\0" in value:
            raise BadParameter(name, f"{value[:80]!r} is no file of this service; give ROOT/path")
        case str() if "/" in value and roots.has(value):
            return roots.resolve(value)
        case list():
            return [_absolute(name, item, roots) for item in value]
        case dict():
            return {key: _absolute(name, item, roots) for key, item in value.items()}
    return value


def _check_network(network: str, registry: Registry, roots: Roots) -> None:
    if network not in registry.networks and not roots.contains(
        network.rpartition("@")[0] or network
    ):
        known = ", ".join(registry.networks)
        raise BadParameter("network", f"{network!r} is not one of {known}, nor ROOT/path of a run")


def shown_spec(spec: JobSpec, roots: Roots) -> dict[str, Any]:
    """Return a spec as its request was, with ROOT/path in place of absolute locations."""
    content = spec.model_dump(mode="json", exclude=PLANNED)
    content["params"] = shown_params(content["params"], roots)
    content["inputs"] = [text if is_blank(text) else roots.shown(text) for text in spec.inputs]
    content["output"] = roots.shown(spec.output)
    return content


def shown_params(params: Mapping[str, Any], roots: Roots) -> dict[str, Any]:
    """Return parameters with ROOT/path in place of absolute locations."""
    return {name: _shown(value, roots) for name, value in params.items()}


def _shown(value: Any, roots: Roots) -> Any:
    match value:
        case str() if value.startswith("/") or "://" in value:
            return roots.shown(value)
        case list():
            return [_shown(item, roots) for item in value]
        case dict():
            return {key: _shown(item, roots) for key, item in value.items()}
    return value
