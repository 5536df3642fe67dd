"""A service's metrics: every one of the table, with the templates of routes as labels."""

from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from farm.control.metrics_table import METRICS

from .conftest import Served

pytestmark = pytest.mark.slow


def samples(served: Served) -> dict[tuple[str, ...], float]:
    """Return the numbers of requests by method, route and status."""
    text = served.client.get("/metrics").text
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "farm_http_requests_total"
    }


def test_a_service_exports_every_metric_of_the_table(served: Served) -> None:
    served.client.get("/healthz")
    families = text_string_to_metric_families(served.client.get("/metrics").text)
    exported = {
        family.name + "_total" if family.type == "counter" else family.name: family
        for family in families
        if not family.name.endswith("_created")
    }
    assert exported.keys() == METRICS.keys()
    for name, family in exported.items():
        assert (family.type, family.documentation) == (METRICS[name].type, METRICS[name].help)


def test_requests_are_counted_by_the_template_of_their_route(served: Served) -> None:
    job = served.finished()["id"]
    before = samples(served)
    for _ in range(3):
        served.job(job)
    served.client.get("/api/jobs/there-is-none")
    after = samples(served)
    seen = {key: after[key] - before.get(key, 0) for key in after}
    assert seen["GET", "/api/jobs/{job}", "200"] == 3
    assert seen["GET", "/api/jobs/{job}", "404"] == 1


def test_hostile_paths_and_methods_share_a_few_series(served: Served) -> None:
    samples(served)
    before = samples(served)
    for number in range(50):
        hostile = quote(f'{number}"}}\n{{x="' + chr(0x100 + number) * 50, safe="")
        served.client.get(f"/{hostile}")
        served.client.get(f"/api/jobs/{hostile}")
        served.client.request(f"X{number}", "/api/jobs")
    added = samples(served).keys() - before.keys()
    assert {method for method, _, _ in added} <= {"GET", "other"}
    assert {route for _, route, _ in added} <= {"other", "/api/jobs/{job}", "/api/jobs"}
    assert len(added) < 10
