"""Checks task classes before the farm offers them, and validates parameters.

Knows nothing about how plugins are loaded or about the command line.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType
from typing import Final, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from farm.errors import BadParameter
from farm.host.blame import line_of, reworded
from farm.host.flags import flag_of, negated
from farm.host.over_time import over_time_fault
from farm.host.schedule_stages import stages
from farm.host.task import Effect, Run, Task, TaskParams
from farm.model.film import Coherence

COMMANDS: Final = frozenset(
    {
        "cancel",
        "compare",
        "demo",
        "doctor",
        "evaluate",
        "flicker",
        "help",
        "job",
        "jobs",
        "ledger",
        "networks",
        "new-plugin",
        "pause",
        "plugins",
        "prepare",
        "resume",
        "retry",
        "sample",
        "serve",
        "show",
        "submit",
        "token",
        "watch",
        "workers",
    }
)
"""Names of the farm's own commands, which no task may use."""

FLAGS: Final = frozenset(
    {
        "--address",
        "--after",
        "--dry-run",
        "--help",
        "--json",
        "--keep-going",
        "--metrics-port",
        "--name",
        "--output",
        "--plugins-dir",
        "--precision",
        "--priority",
        "--resume",
        "--seed",
        "--server",
        "--submit-once",
        "--threads",
        "--traceback",
        "--version",
        "--wait",
        "--workers",
    }
)
"""Flags of every task's command, which no parameter may use."""

EFFECT_FLAGS: Final = frozenset(
    {
        "--codec",
        "--coherence",
        "--depth",
        "--frames",
        "--like",
        "--live",
        "--loop",
        "--overwrite",
        "--preset",
        "--preview",
        "--quality",
        "--rate",
        "--size",
        "--strict",
        "--tile",
    }
)
"""Further flags of every effect's command."""

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


def task_fault(task: object) -> str:
    """Return why the farm cannot offer this as a task, or an empty string if it can."""
    if not (isinstance(task, type) and issubclass(task, Task)):
        return f"{task!r} is not a Task subclass; farm_tasks must return classes, such as [Invert]"
    faults = (
        _name_fault,
        _class_fault,
        _misnamed_fault,
        _choices_fault,
        _methods_fault,
        over_time_fault,
        _flags_fault,
        _defaults_fault,
    )
    return next((fault for find in faults if (fault := find(task))), "")


def _name_fault(task: type[Task]) -> str:
    name = getattr(task, "name", None)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return (
            f"task class {task.__name__} has the invalid name {name!r}; use 1 to 32 lower-case "
            "letters, digits and dashes, starting with a letter"
        )
    if name in COMMANDS:
        return f"task name {name!r} is one of the farm's own commands; choose another"
    return ""


def _class_fault(task: type[Task]) -> str:
    if inspect.isabstract(task):
        missing = ", ".join(sorted(task.__abstractmethods__))
        return f"task {task.name!r} is abstract; define {missing}"
    if not (isinstance(task.Params, type) and issubclass(task.Params, TaskParams)):
        return f"task {task.name!r}: Params must be a subclass of TaskParams, not {task.Params!r}"
    if not (task.__doc__ or "").strip():
        return f"task {task.name!r} has no docstring; its first line is the help text"
    return ""


def _misnamed_fault(task: type[Task]) -> str:
    """Return which class of parameters the farm does not find by its name."""
    for name, value in vars(task).items():
        is_params = isinstance(value, type) and issubclass(value, TaskParams)
        if is_params and task.Params is TaskParams and value is not TaskParams:
            return f"task {task.name!r}: its parameters are in a class {name}; name it Params"
    return ""


def _choices_fault(task: type[Task]) -> str:
    """Return which choice of an effect the farm does not know."""
    if not issubclass(task, Effect):
        return ""
    if task.coherence not in get_args(Coherence):
        known = ", ".join(map(repr, get_args(Coherence)))
        return f"task {task.name!r}: coherence is {task.coherence!r}; choose one of {known}"
    if not isinstance(task.is_endless, bool):
        return f"task {task.name!r}: is_endless is {task.is_endless!r}; set it to True or False"
    return ""


def _methods_fault(task: type[Task]) -> str:
    """Return the first method that cannot be called as the farm calls it."""
    for name, called in _methods(task):
        own = inspect.getattr_static(task, name)
        arguments = [*inspect.signature(called).parameters]
        if isinstance(own, FunctionType) and not _takes(own, len(arguments)):
            return (
                f"task {task.name!r}: the farm calls {name}({', '.join(arguments[1:])}), but it is "
                f"defined as {name}{inspect.signature(own)} ({line_of(own)})"
            )
    return ""


def _methods(task: type[Task]) -> Iterator[tuple[str, FunctionType]]:
    """Yield the methods that tasks of this kind may define, as the farm defines them."""
    for kind in (Task, Effect, Run):
        if issubclass(task, kind):
            methods = {n: m for n, m in vars(kind).items() if isinstance(m, FunctionType)}
            yield from ((n, m) for n, m in methods.items() if n == "__init__" or n[0] != "_")


def _takes(function: FunctionType, count: int) -> bool:
    """Return whether a function can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


def _flags_fault(task: type[Task]) -> str:
    taken = FLAGS | EFFECT_FLAGS if issubclass(task, Effect) else FLAGS
    owners: dict[str, str] = dict.fromkeys(taken, "the farm")
    for name, field in task.Params.model_fields.items():
        flag = flag_of(name, field)
        words = [flag, negated(flag)] if field.annotation is bool else [flag]
        for word in words:
            if word in owners:
                return (
                    f"task {task.name!r}: parameter {name!r} needs the flag {word}, which "
                    f"{owners[word]} already uses; rename it, or set "
                    'json_schema_extra={"cli": "--..."}'
                )
        owners.update(dict.fromkeys(words, f"parameter {name!r}"))
    return ""


def _defaults_fault(task: type[Task]) -> str:
    """Return the first default that its own field refuses, which pydantic checks only when it is given."""
    fields = task.Params.model_fields
    given = {name: _default(field) for name, field in fields.items() if not field.is_required()}
    try:
        task.Params.model_validate(given)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            name = str(next(iter(fault["loc"]), ""))
            if name in given:
                return (
                    f"task {task.name!r}: the default of parameter {name!r} is refused: "
                    f"{reworded(fault['msg'])}, not {given[name]!r}"
                )
    return ""


def _default(field: FieldInfo) -> object:
    return field.get_default(call_default_factory=True, validated_data={})


def validate_params(task: type[Task], values: Mapping[str, object]) -> TaskParams:
    """Return the task's parameters, with defaults. Raises BadParameter for the first invalid one."""
    try:
        params = task.Params.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _bad_parameter(
            first["loc"], first["type"], first["msg"], first["input"], task
        ) from None
    try:
        for _ in stages(params):
            pass
    except ValueError as error:
        raise BadParameter("at", str(error)) from None
    return params


def _bad_parameter(
    location: Iterable[int | str], kind: str, message: str, value: object, task: type[Task]
) -> BadParameter:
    name = next((str(part) for part in location), task.name)
    if kind == "extra_forbidden":
        known = ", ".join(task.Params.model_fields) or "(none)"
        return BadParameter(name, f"{task.name} has no such parameter; choose one of {known}")
    if kind == "missing":
        return BadParameter(name, "is required")
    reason = reworded(message)
    if kind.endswith("_parsing"):
        reason = reason.partition(", unable to")[0]
    names_value = reason.startswith(("'", '"'))
    if name not in task.Params.model_fields or names_value:
        return BadParameter(name, reason)
    return BadParameter(name, f"{reason}, not {value!r}")
