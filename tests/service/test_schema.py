"""The description of the service is true: whatever it allows, the service answers as it says."""

import pytest

from ..benchmarks.fuzz_api import fuzz  # noqa: TID252 - runs at length by itself
from .conftest import Served


def test_the_description_has_an_example_and_says_what_each_route_does(served: Served) -> None:
    described = served.client.get("/api/openapi.json").json()
    (example,) = described["components"]["schemas"]["JobRequest"]["examples"]
    assert example["task"] == "dream"
    operations = [each for methods in described["paths"].values() for each in methods.values()]
    assert all(operation["description"] for operation in operations)
    assert not any("422" in operation["responses"] for operation in operations)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_request_ends_in_an_error_of_the_service(served: Served) -> None:
    assert fuzz(str(served.client.base_url).rstrip("/"), 40, 10) == []
