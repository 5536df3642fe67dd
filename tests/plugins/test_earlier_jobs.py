"""Jobs that were stored before parameters changed over time are still the same jobs."""

from typing import Any, Final, NamedTuple

import pytest

from farm.host.registry import Registry
from farm.host.vetting import validate_params
from farm.model.job import JobSpec, changes
from farm.service.requests import asks_for

NEITHER: Final = ["the earlier job did not record what its files contained"]
"""What is said of jobs that differ in nothing."""

DREAM: Final[dict[str, Any]] = {
    "network": "starter", "weights": None, "layers": ["inception4c"], "channels": [], "neuron": None,
    "classes": [], "guide": None, "mask": None, "start": "picture", "method": "ascent", "iterations": 10,
    "octaves": 4, "scale": 1.4, "step": 1.5, "jitter": 32, "smooth": 0.0, "laplacian": 0, "l2": 0.0, "tv": 0.0,
    "amplify": 2.0,
}  # fmt: skip

ZOOM: Final[dict[str, Any]] = DREAM | {
    "iterations": 3, "octaves": 3, "zoom": 1.02, "rotate": 0.0, "shift": [0.0, 0.0], "turns": [], "fade": 1.0,
}  # fmt: skip

STYLE: Final[dict[str, Any]] = {
    "network": "starter", "weights": None, "styles": ["/a.png"], "fast": None, "masks": [], "style_scale": 1.0,
    "keep_colours": "none", "strength": 1.0, "content_weight": 0.04, "style_weight": 1.0, "tv": 6.0,
    "statistic": "w2", "content_layers": [], "style_layers": [], "scales": None, "iterations": 100,
    "optimizer": "adam", "step": 5.0, "average": 0.98, "start": "content",
}  # fmt: skip

CUES: Final = ["0=cat", "4=pizza"]


class Earlier(NamedTuple):
    """A job as it was stored. given: parameters that its user gives today."""

    task: str
    params: dict[str, Any]
    key: str
    given: dict[str, Any]


EARLIER: Final = {
    "dream": Earlier(
        "dream", DREAM, "b5091113ead0e9556bceea074c927a16fe5f3e7a09121d73aa063fa6b270c3ca", {}
    ),
    "channels": Earlier(
        "dream",
        DREAM | {"channels": [5, 7]},
        "4c67cc300298a7c34734c0693ec3d31eaf5eb75ada85c5c2cda17e8f41655f2d",
        {"channels": ["5", 7]},
    ),
    "zoom": Earlier(
        "zoom", ZOOM, "c58684c4f6c470a06a4d6edea8ebe7603f980f6d92b44ae9ff411850a1ccbec0", {}
    ),
    "classes over time": Earlier(
        "zoom",
        ZOOM | {"turns": CUES},
        "551e1a77d5a19162b34da303822d84558415cd600fc6fe744d629dfb8e265b4a",
        {"at": CUES},
    ),
    "style": Earlier(
        "style",
        STYLE,
        "d8ea148eb10568a681680559cf3e7887fbae6bb033dad962ba42d65385ce6984",
        {"styles": ["/a.png"]},
    ),
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def spec(task: str, params: dict[str, Any]) -> JobSpec:
    return JobSpec(task=task, params=params, inputs=("/in.png",), output="/out/")


def today(registry: Registry, task: str, **given: Any) -> JobSpec:
    params = validate_params(registry.task(task), given)
    return spec(task, params.model_dump(mode="json"))


@pytest.mark.parametrize("name", EARLIER)
def test_an_earlier_job_has_the_key_of_its_equal_today(registry: Registry, name: str) -> None:
    earlier = EARLIER[name]
    before, now = spec(earlier.task, earlier.params), today(registry, earlier.task, **earlier.given)
    assert (before.key, now.key) == (earlier.key, earlier.key)
    assert changes(before, now) == NEITHER


@pytest.mark.parametrize("name", EARLIER)
def test_the_token_of_an_earlier_job_still_names_it(registry: Registry, name: str) -> None:
    earlier = EARLIER[name]
    now = today(registry, earlier.task, **earlier.given)
    assert asks_for(now, spec(earlier.task, earlier.params), registry)
    assert not asks_for(now, spec(earlier.task, earlier.params | {"step": 2.0}), registry)


def test_a_token_of_an_earlier_job_that_is_refused_today_is_taken_for_another(
    registry: Registry,
) -> None:
    refused = spec("dream", DREAM | {"channels": [1_000_000]})
    assert not asks_for(today(registry, "dream"), refused, registry)


@pytest.mark.parametrize("task", ["dream", "zoom"])
def test_what_changes_over_time_makes_another_job_and_says_so(
    registry: Registry, task: str
) -> None:
    before, now = today(registry, task), today(registry, task, at=["1 step=2"])
    assert before.key != now.key
    assert changes(before, now) == ["at changed from None to ['1 step=2']"]


def test_a_weight_of_a_channel_makes_another_job(registry: Registry) -> None:
    plain, weighted = (today(registry, "dream", channels=[text]) for text in ("5", "5=2"))
    assert plain.key != weighted.key
    assert weighted.params["channels"] == ["5=2"]
