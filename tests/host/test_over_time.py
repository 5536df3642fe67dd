"""Parameters change over the time of a film: numbers are interpolated, names cross-faded, the rest refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from farm import Effect, OverTime, TaskParams, TimedParams
from farm.errors import BadParameter
from farm.host.keyframes import joined, parse_keyframe, weighted
from farm.host.schedule import Schedule, at_start
from farm.host.schedule_stages import differing, stages
from farm.host.task import Task
from farm.host.vetting import task_fault, validate_params

from ..call_counts import calls_of  # noqa: TID252 - shared between rooms


class Glow(Effect):
    """Glows."""

    name = "glow"

    class Params(TimedParams):
        amount: OverTime[float] = Field(1.0, ge=0, le=9, description="How much.")
        count: OverTime[int] = Field(3, ge=1, description="How many.")
        centre: OverTime[tuple[float, float]] = Field((0, 0), description="Where.")
        colours: OverTime[tuple[str, ...]] = Field(
            ("red",), description="Which.", json_schema_extra={"cli": "--colour"}
        )
        names: OverTime[tuple[str, ...]] = Field((), description="Whose.")
        radius: OverTime[float | None] = Field(None, description="How far.")
        mode: str = Field("soft", description="How.")

    params: Params

    def render(self, image: object, context: object) -> object:  # type: ignore[override]
        raise NotImplementedError


def params_at(seconds: float, *at: str, number: int = 0, **own: object) -> Glow.Params:
    schedule = Schedule.of(validate_params(Glow, {"at": at, **own}))
    assert schedule
    params = schedule.at(seconds, number)
    assert isinstance(params, Glow.Params)
    return params


def test_numbers_are_interpolated_and_keep_the_last_value() -> None:
    keyframes = ("0 amount=1 count=2 centre=0,8", "4 amount=3 count=5 centre=2,0", "6 amount=0")
    found = [params_at(time, *keyframes) for time in (0, 1, 4, 5, 99)]
    assert [params.amount for params in found] == [1, 1.5, 3, 1.5, 0]
    assert [params.count for params in found] == [2, 3, 5, 5, 5]
    assert [params.centre for params in found] == [(0, 8), (0.5, 6), (2, 0), (2, 0), (2, 0)]


def test_a_parameter_starts_from_its_own_value() -> None:
    assert [params_at(time, "4 amount=3", amount=2).amount for time in (0, 1, 4)] == [2, 2.25, 3]


def test_names_cross_fade_by_weight() -> None:
    keyframes = ("0 colour=red colour=blue=3", "4 colour=green=2 colour=red")
    assert params_at(0, *keyframes).colours == ("red", "blue=3")
    halfway = dict(map(weighted, params_at(2, *keyframes).colours))
    assert halfway == {"red": 1, "blue": 1.5, "green": 1}
    assert params_at(4, *keyframes).colours == ("green=2", "red")


def test_a_name_that_is_given_again_fades_with_all_its_weights() -> None:
    keyframes = ("0 colour=red colour=red=3", "4 colour=green")
    assert params_at(1, *keyframes).colours == ("red=0.75", "red=2.25", "green=0.25")


def test_frames_are_counted_from_one() -> None:
    found = [params_at(77, "f1 amount=1", "f5 amount=9", number=n).amount for n in (0, 1, 4)]
    assert found == [1, 3, 9]


def test_a_time_costs_as_much_whatever_the_number_of_keyframes() -> None:
    def calls(count: int) -> int:
        at = [f"{number} amount={number % 9}" for number in range(count)]
        schedule = Schedule.of(validate_params(Glow, {"at": at}))
        assert schedule
        return calls_of(lambda: schedule.at(0.5, 0))

    assert calls(200) == calls(2)


@given(st.floats(0, 20), st.floats(0, 9), st.floats(0, 9), st.floats(0.1, 20))
def test_what_is_between_two_values_is_within_the_range(
    time: float, one: float, other: float, end: float
) -> None:
    keyframes = (f"0 amount={one:.6f}", f"{end:.6f} amount={other:.6f}")
    amount = params_at(time, *keyframes).amount
    assert min(one, other) - 1e-6 <= amount <= max(one, other) + 1e-6


def test_parameters_of_a_frame_no_longer_change() -> None:
    params = validate_params(Glow, {"at": ["0 amount=4", "2 amount=8"]})
    assert at_start(params) == Glow.Params(amount=4)
    assert Schedule.of(at_start(params)) is None


def test_a_task_is_checked_with_the_values_of_every_keyframe_and_between_them() -> None:
    params = validate_params(Glow, {"at": ["1 colour=blue", "3 colour=green"]})
    seen = [getattr(stage, "colours", ()) for stage in stages(params)]
    assert ("blue",) in seen
    assert ("green",) in seen
    assert ("blue=0.5", "green=0.5") in seen


def test_the_extremes_of_numbers_differ_for_a_check() -> None:
    at = [f"{number} amount={number % 10} count={9 - number % 9}" for number in range(40)]
    found = differing(stages(validate_params(Glow, {"at": at})))
    assert all(isinstance(stage, Glow.Params) for stage in found)
    assert {getattr(stage, "amount", None) for stage in found} >= {0, 9}
    assert {getattr(stage, "count", None) for stage in found} >= {1, 9}
    assert len(found) <= 5


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (["4"], "give TIME NAME=VALUE"),
        (["amount=3"], "give TIME NAME=VALUE"),
        (["4 amount"], "'amount' is not NAME=VALUE"),
        (["4 names='a"], "give TIME NAME=VALUE"),
        (
            ["4 centre=1"],
            "at 4: `centre` takes 2 numbers with commas and no spaces, such as 1,2, not '1'",
        ),
        (
            ["4 centre='1 2'"],
            "`centre` takes 2 numbers with commas and no spaces, such as 1,2, not '1 2'",
        ),
        (["4 centre=1,2,3"], "`centre` takes 2 numbers with commas"),
        (["f0 amount=3"], "'f0' is no frame; frames are counted from 1"),
        (["f2.5 amount=3"], "'f2.5' is no frame"),
        (["4 amuont=3"], "there is no amuont, did you mean amount?; these can: amount, count"),
        (["4 mode=hard"], "mode cannot change over time; these can: amount, count, centre, colour"),
        (["4 amount=10"], "at 4: `amount` should be less than or equal to 9, not '10'"),
        (["f4 amount=x"], "at f4: `amount` should be a valid number, not 'x'"),
        (["4 amount=1 amount=2"], "at 4: `amount` is given twice"),
        (["4 colour=red colours=blue"], "at 4: `colours` is given twice; use one of its names"),
        (["4 centre=1"], "at 4: `centre` "),
        (["4 amount=1", "3 amount=2"], "3 comes after 4; give the times in rising order"),
        (["4 amount=1", "4 count=2"], "4 comes after 4; give the times in rising order"),
        (["4 amount=1", "f9 amount=2"], "times are in seconds, or all in frames"),
        (["4 radius=2"], "`radius` has no value before 4; give it one at the start too"),
        (["4 names=a"], "`names` has no value before 4; give it one at the start too"),
        (["4 amount=1"] * 1001, "at most 1000"),
    ],
)
def test_a_schedule_that_cannot_be_followed_is_refused(at: list[str], message: str) -> None:
    with pytest.raises(BadParameter) as caught:
        validate_params(Glow, {"at": at})
    assert caught.value.name == "at"
    assert message in caught.value.reason


@given(st.text(st.sampled_from("0123456789.f =ab'\"\t\\"), max_size=12))
def test_any_text_is_a_keyframe_or_refused(text: str) -> None:
    try:
        keyframe = parse_keyframe(text)
    except ValueError:
        return
    assert keyframe.values
    assert keyframe.time >= 0


def test_a_keyframe_of_a_command_ends_before_the_next_option_or_input() -> None:
    words = ["--at", "0", "a=1", "b=x y", "clip.mp4", "--at", "f9", "a=2", "--", "--at", "1", "a=3"]
    expected = ["--at", "0 a=1 'b=x y'", "clip.mp4", "--at", "f9 a=2", "--", "--at", "1", "a=3"]
    assert list(joined(words, "--at")) == expected
    assert parse_keyframe(expected[1]).values == {"a": ["1"], "b": ["x y"]}
    assert list(joined(["--at=0", "a=1", "b=x y", "clip.mp4"], "--at")) == [
        "--at=0 a=1 'b=x y'",
        "clip.mp4",
    ]
    assert list(joined(["--at=0 a=1", "b=2", "10"], "--at")) == ["--at=0 a=1", "b=2", "10"]


def fault_of(params: type[TaskParams]) -> str:
    changed: type[Task] = type("Changed", (Glow,), {"Params": params, "__doc__": "Glows."})
    return task_fault(changed)


def test_a_parameter_with_nothing_between_its_values_cannot_be_marked() -> None:
    class Params(TimedParams):
        mode: OverTime[str] = Field("soft", description="How.")

    assert "parameter 'mode' cannot change over time; only numbers" in fault_of(Params)


def test_marks_and_the_base_class_come_together() -> None:
    class Marked(TaskParams):
        amount: OverTime[float] = Field(1.0, description="How much.")

    class Unmarked(TimedParams):
        amount: float = Field(1.0, description="How much.")

    assert "parameter 'amount' is marked OverTime, and Params is not a TimedParams" in fault_of(
        Marked
    )
    assert "no parameter is marked OverTime, and Params is a TimedParams" in fault_of(Unmarked)
    assert fault_of(Glow.Params) == ""
