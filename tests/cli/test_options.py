"""Parameters of every type become options, with their ranges and defaults in the help."""

from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from farm import BadParameter, Effect, Field, TaskParams
from farm.cli.options import describe_refusal, options_of, values_of
from farm.host.vetting import task_fault, validate_params


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Inner(TaskParams):
    depth: int = 1


def make(annotation: Any, default: Any = ..., **extra: Any) -> type[Effect]:
    """Return an effect with one parameter, some_thing."""
    field = Field(default, description="What it does.", **extra)
    params = create_model("Params", __base__=TaskParams, some_thing=(annotation, field))
    return type("Fake", (Effect,), {"name": "fake", "Params": params, "__doc__": "Fake."})


def ask(task: type[Effect], *words: str) -> Any:
    """Return the value of some_thing for these words on the command line."""
    seen: list[Any] = []

    def callback(**options: Any) -> None:
        values = values_of(task.Params, options)
        seen.append(validate_params(task, values).some_thing)  # type: ignore[attr-defined]

    command = click.Command("fake", callback=callback, params=list(options_of(task.Params)))
    command.main(list(words), standalone_mode=False)
    return seen[0]


def help_of(task: type[Effect]) -> str:
    command = click.Command("fake", params=list(options_of(task.Params)))
    return " ".join(CliRunner().invoke(command, ["--help"]).output.split())


F = "--some-thing"
KINDS: dict[str, tuple[Any, Any, list[str], Any]] = {
    "int": (int, 4, [F, "7"], 7),
    "negative int": (int, 4, [F, "-7"], -7),
    "float": (float, 1.5, [F, "2e-3"], 0.002),
    "str": (str, "a", [F, "b c"], "b c"),
    "path": (Path, Path("a"), [F, "b/c"], Path("b/c")),
    "bool on": (bool, False, [F], True),
    "bool off": (bool, True, ["--no-some-thing"], False),
    "optional": (int | None, None, [F, "3"], 3),
    "literal": (Literal["a", "b"], "a", [F, "b"], "b"),
    "optional literal": (Literal["a", "b"] | None, None, [F, "b"], "b"),
    "literal numbers": (Literal[1, 2], 1, [F, "2"], 2),
    "enum": (Mood, Mood.CALM, [F, "wild"], Mood.WILD),
    "int enum": (Level, Level.LOW, [F, "2"], Level.HIGH),
    "list": (list[int], [1], [F, "2", F, "3"], [2, 3]),
    "tuple": (tuple[str, ...], ("x",), [F, "a", F, "b"], ("a", "b")),
    "annotated items": (tuple[Annotated[int, Field(ge=0)], ...], (), [F, "5"], (5,)),
    "optional tuple": (tuple[float, float] | None, None, [F, "0.5", "1"], (0.5, 1.0)),
    "literals": (list[Literal["a", "b"]], ["a"], [F, "b", F, "a"], ["b", "a"]),
    "pairs": (list[tuple[str, float]], [], [F, "a", "1", F, "b", "2"], [("a", 1.0), ("b", 2.0)]),
    "mapping": (dict[str, float], {}, [F, '{"a": 1}'], {"a": 1.0}),
    "model": (Inner, Inner(), [F, '{"depth": 3}'], Inner(depth=3)),
    "union": (int | Literal["auto"], "auto", [F, "9"], 9),
    "union word": (int | Literal["auto"], 3, [F, "auto"], "auto"),
    "grid": (list[list[int]], [], [F, "[[1], [2]]"], [[1], [2]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_reaches_the_task_with_its_type(kind: str) -> None:
    annotation, default, words, value = KINDS[kind]
    parsed = ask(make(annotation, default), *words)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("kind", KINDS)
def test_an_omitted_value_is_the_declared_default(kind: str) -> None:
    annotation, default, _, _ = KINDS[kind]
    assert ask(make(annotation, default)) == default


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_parsed_exactly(number: float) -> None:
    assert ask(make(float, 0.0), f"{F}={number!r}") == number


HELP: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "closed range": (
        int,
        4,
        {"ge": 1, "le": 20},
        "INTEGER What it does. [1 <= x <= 20; default: 4]",
    ),
    "open range": (
        float,
        1.4,
        {"gt": 1, "lt": 4},
        "NUMBER What it does. [1 < x < 4; default: 1.4]",
    ),
    "one bound": (int, 0, {"ge": 0}, "[0 <= x; default: 0]"),
    "choices": (Literal["a", "b"], "a", {}, "[a|b] What it does. [default: a]"),
    "enum": (Mood, Mood.WILD, {}, "[calm|wild] What it does. [default: wild]"),
    "flag": (bool, True, {}, "--some-thing / --no-some-thing What it does. [default: on]"),
    "several": (tuple[str, ...], ("a", "b"), {}, "TEXT What it does. [default: a b]"),
    "none": (int | None, None, {}, "--some-thing INTEGER What it does."),
    "required": (int, ..., {}, ""),
    "fixed": (tuple[float, int], (1, 2), {}, "--some-thing NUMBER INTEGER What it does."),
}


@pytest.mark.parametrize("kind", HELP)
def test_help_shows_allowed_values_and_the_default(kind: str) -> None:
    annotation, default, extra, expected = HELP[kind]
    assert expected in help_of(make(annotation, default, **extra))


def test_a_parameter_may_choose_its_flag() -> None:
    task = make(tuple[str, ...], ("x",), json_schema_extra={"cli": "--layer"})
    assert ask(task, "--layer", "a") == ("a",)
    assert describe_refusal(task.Params, BadParameter("some_thing", "no")) == "--layer: no"


def test_parameters_in_a_reason_are_shown_as_flags() -> None:
    task = make(tuple[str, ...], ("x",), json_schema_extra={"cli": "--layer"})
    refusal = BadParameter("fake", "`some_thing` and `tile` do not go together, nor `x`; a tile")
    message = "fake: --layer and --tile do not go together, nor `x`; a tile"
    assert describe_refusal(task.Params, refusal) == message


REFUSED: dict[str, tuple[Any, Any, dict[str, Any], list[str], str]] = {
    "too small": (int, 4, {"ge": 1}, ["0"], "some_thing: should be greater than or equal to 1"),
    "not a number": (float, 4, {}, ["four"], "some_thing: should be a valid number.*not 'four'"),
    "item": (tuple[int, ...], (), {}, ["1", "--some-thing", "b"], "valid integer.*not 'b'"),
    "infinite": (float, 1, {}, ["inf"], "some_thing: should be a finite number"),
    "json": (dict[str, int], {}, {}, ["{oops"], "some_thing: should be a valid dictionary"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_wrong_value_is_refused_with_its_name_and_rule(kind: str) -> None:
    annotation, default, extra, words, message = REFUSED[kind]
    with pytest.raises(BadParameter, match=message):
        ask(make(annotation, default, **extra), F, *words)


def test_refusing_an_unknown_parameter_lists_the_known_ones() -> None:
    with pytest.raises(
        BadParameter, match="octave: fake has no such parameter; choose one of some_thing"
    ):
        validate_params(make(int, 4), {"octave": 3})


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(BadParameter, match="some_thing: is required"):
        validate_params(make(int), {})


def test_two_parameters_cannot_share_a_flag() -> None:
    class Params(TaskParams):
        layer: str = Field("a", description="One.")
        layers: tuple[str, ...] = Field(
            (), description="All.", json_schema_extra={"cli": "--layer"}
        )

    clash = type("Fake", (make(int, 1),), {"__doc__": "x", "Params": Params, "render": id})
    assert "'layers' needs the flag --layer, which parameter 'layer' already" in task_fault(clash)


@pytest.mark.parametrize("is_first", [True, False])
def test_the_negation_of_a_flag_cannot_hide_another_parameter(*, is_first: bool) -> None:
    fields: list[tuple[str, Any]] = [
        ("no_blur", (int, Field(1, description="Times not to blur."))),
        ("blur", (bool, Field(default=True, description="Whether to."))),
    ]
    params = create_model("Params", __base__=TaskParams, **dict(fields[:: 1 if is_first else -1]))
    clash = type(
        "Fake", (make(int, 1),), {"__doc__": "x", "Params": params, "render": lambda *_: None}
    )
    assert "needs the flag --no-blur, which parameter" in task_fault(clash)
