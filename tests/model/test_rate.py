"""Frame rates are exact, in Python and in JSON."""

from fractions import Fraction

import pytest

from farm.model.job import FilmOptions, JobSpec, changes
from farm.model.rate import parse_rate


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ("25", Fraction(25)),
        ("12.5", Fraction(25, 2)),
        ("24000/1001", Fraction(24000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        (29.97, Fraction(30000, 1001)),
        ("2997/100", Fraction(2997, 100)),
        ("1/3", Fraction(1, 3)),
        (12, Fraction(12)),
    ],
)
def test_a_rate_is_exact_and_survives_json(given: object, rate: Fraction) -> None:
    options = FilmOptions.model_validate({"rate": given})
    assert options.rate == rate
    assert FilmOptions.model_validate_json(options.model_dump_json()) == options


@pytest.mark.parametrize(
    "given", ["nan", "inf", "0", "-5", "1/0", "0/5", "1001", "1e999999999", "", "fast", "9" * 5000]
)
def test_anything_else_is_refused_in_one_line(given: str) -> None:
    with pytest.raises(ValueError, match="is not a frame rate; give a number above 0") as refusal:
        parse_rate(given)
    assert len(str(refusal.value)) < 160


def test_a_job_knows_whether_a_rate_was_given_and_keeps_its_key() -> None:
    def spec(**film: object) -> JobSpec:
        return JobSpec(task="dim", inputs=("a",), output="b", film=FilmOptions.model_validate(film))

    assert [spec().film.rate, spec(rate=25).film.rate] == [None, 25]
    assert JobSpec.model_validate(spec().model_dump()) == spec()
    assert spec().film.frame_rate == 25
    assert spec().key == spec(rate="25").key != spec(rate="12.5").key
    assert JobSpec.model_validate_json(spec().model_dump_json()) == spec()
    assert not any("rate" in line for line in changes(spec(), spec(rate=25)))
