"""Named sets of parameters: those of a task, and the user's own in a TOML file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farm.errors import BadInput
from farm.host.task import Effect, Task
from farm.settings import Settings

__all__ = ["presets_of"]


def presets_of(task: type[Task]) -> Mapping[str, Mapping[str, Any]]:
    """Return the parameters of each preset of a task; the user's own come before those of the task.

    Raises BadInput for a file that is no table of presets.
    """
    return dict(task.presets if issubclass(task, Effect) else {}) | _own(task.name)


def _own(task: str) -> dict[str, Mapping[str, Any]]:
    path = Settings().presets_path
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadInput(str(path), f"cannot be read as presets: {error}") from error
    return _tables(path, _tables(path, content).get(task, {}))


def _tables(path: Path, content: object) -> dict[str, Mapping[str, Any]]:
    if isinstance(content, dict) and all(isinstance(one, dict) for one in content.values()):
        return content
    raise BadInput(str(path), "a preset is a table such as [dream.mine], with parameters in it")
