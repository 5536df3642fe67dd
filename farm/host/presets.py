"""Named sets of parameters: those of a task, and the user's own in a TOML file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farm.errors import BadInput, BadParameter
from farm.host.task import Effect, Task
from farm.host.vetting import validate_params
from farm.settings import Settings

__all__ = ["missing_file", "own_presets", "preset_fault", "presets_of"]

Presets = dict[str, Mapping[str, Any]]


def presets_of(task: type[Task]) -> Mapping[str, Mapping[str, Any]]:
    """Return the parameters of each preset of a task; the user's own come before those of the task.

    Raises BadInput for a file that is no table of presets.
    """
    shipped = dict(task.presets if issubclass(task, Effect) else {})
    return shipped | _own(task.name, _content())


def own_presets() -> Mapping[str, Presets]:
    """Return the user's own presets of each task. Raises BadInput as presets_of does."""
    content = _content()
    return {task: _own(task, content) for task in content}


def _content() -> Mapping[str, object]:
    path = Settings().presets_path
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadInput(str(path), f"cannot be read as presets: {error}") from error


def _own(task: str, content: Mapping[str, object]) -> Presets:
    presets = content.get(task, {})
    if isinstance(presets, dict) and all(isinstance(one, dict) for one in presets.values()):
        return presets
    example = f"a preset is a table such as [{task}.mine], with parameters in it"
    raise BadInput(str(Settings().presets_path), f"{example}, and {task} has something else")


def missing_file() -> Path | None:
    """Return the file that FARM_PRESETS names if it is not there."""
    settings = Settings()
    path = settings.presets_path
    return path if settings.presets and not path.is_file() else None


def preset_fault(
    task: type[Task], preset: Mapping[str, Any], given: Mapping[str, Any]
) -> BadParameter | None:
    """Return why a task refuses a parameter of a preset; None if it does not.

    given: what overrides the preset. What they lack together is not the preset's fault.
    """
    try:
        validate_params(task, {**preset, **given})
    except BadParameter as error:
        return error if error.name in preset and error.name not in given else None
    return None
