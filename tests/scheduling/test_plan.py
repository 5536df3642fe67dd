"""Every frame becomes one unit, in the order it was given."""

from hypothesis import given
from hypothesis import strategies as st

from farm.job import Unit
from farm.plan import plan_units

FRAMES = st.lists(st.tuples(st.text(), st.text(), st.text()))


@given(FRAMES)
def test_every_frame_is_one_unit_in_its_order(frames: list[tuple[str, str, str]]) -> None:
    units = plan_units("job", frames)
    assert [(unit.name, unit.source, unit.target) for unit in units] == frames
    assert all((unit.job, unit.needs) == ("job", ()) for unit in units)


def test_a_plan_is_made_from_what_can_be_gone_through_once() -> None:
    frames = ((name, f"in/{name}", f"out/{name}") for name in ("10", "9"))
    assert plan_units("job", frames) == (
        Unit("job", "10", "in/10", "out/10"),
        Unit("job", "9", "in/9", "out/9"),
    )
