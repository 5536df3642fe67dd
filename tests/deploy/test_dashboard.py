"""Every query of the dashboard has an answer from a Prometheus that watched real jobs."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import httpx
import pytest
from PIL import Image

from ..prometheus import (  # noqa: TID252 - shared
    DEPLOY,
    Prometheus,
    needs_prometheus,
    watched_service,
)

DASHBOARD = json.loads((DEPLOY / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

JOBS = (
    {
        "task": "dream",
        "params": {"iterations": 1, "octaves": 1, "layers": ["conv3"]},
        "inputs": ["here/photos/"],
        "output": "here/dreams/",
        "plan": {"tile": 48},
    },
    {
        "task": "train-style",
        "params": {
            "photos": "here/photos",
            "width": 4,
            "blocks": 1,
            "side": 64,
            "style_side": 64,
            "batch": 2,
            "steps": 40,
        },
        "inputs": ["here/photos/0.png"],
        "output": "here/run/",
    },
)
"""A job with a picture that cannot be read, and a run."""


QUIET = {
    "Queue",
    "Longest wait in the queue",
    "Jobs that wait for something outside",
    "Wait for workers that share a unit, 90th percentile",
    "Retries",
    "Share that fails, and share of attempts that are made again",
    "Workers lost",
    "Stale reports",
    "Errors of storage",
    "Transactions that the database refused",
    "Rows of the ledger",
}
"""Panels that may show zero: nothing is shared, lost or tried again, a picture that cannot be read is
its user's error, rows are counted every five minutes, and nothing waits for long."""


@dataclass(frozen=True)
class Record:
    """What a Prometheus has seen of a service until its jobs had ended. since: from this time on."""

    server: Prometheus
    since: float

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that a panel over the whole time would show."""
        step = max(1, int(time() - self.since) // 100)
        answer = self.server.ask(
            "query_range", query=expression, start=self.since, end=time(), step=step
        )
        series: list[dict[str, Any]] = answer["result"]
        return series


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    folder = tmp_path_factory.mktemp("farm")
    (folder / "photos").mkdir()
    for number in range(3):
        picture = Image.effect_noise((64, 48 + number), 80).convert("RGB")
        picture.save(folder / "photos" / f"{number}.png")
    (folder / "photos" / "bad.png").write_bytes(b"no picture")
    since = time()
    with watched_service(folder) as (address, server):
        run_jobs(address, server)
        yield Record(server, since)


def run_jobs(farm: str, server: Prometheus) -> None:
    for job in JOBS:
        answer = httpx.post(f"{farm}/api/jobs", json=job, timeout=60)
        assert answer.status_code == 201, answer.text
    ended = f"sum(farm_jobs_finished_total) == {len(JOBS)}"
    server.wait(lambda: bool(server.values(ended)), 300)
    server.wait(lambda: bool(server.values("farm:unit_failures:ratio15m")))


def variables(server: Prometheus) -> dict[str, str]:
    """Return what Grafana would put in place of each variable of the dashboard."""
    known = {"__rate_interval": "1m", "__interval": "5s", "source": "here"}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found, variable
            values = server.ask(f"label/{found[2]}/values", **{"match[]": found[1]})
            assert values, variable
            known[variable["name"]] = "|".join(values)
    return known


@pytest.mark.proof
@pytest.mark.slow
@needs_prometheus
@pytest.mark.xdist_group("dashboard")
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "panel", PANELS, ids=[panel["title"].replace(" ", "-") for panel in PANELS]
)
def test_a_panel_shows_something(record: Record, panel: dict[str, object]) -> None:
    known = variables(record.server)
    targets = panel["targets"]
    assert isinstance(targets, list)
    seen = set()
    for target in targets:
        query = re.sub(r"\$(\w+)", lambda variable: known[variable[1]], target["expr"])
        series = record.query(query)
        values = {value for one in series for _, value in one["values"]} - {"NaN"}
        assert values, query
        seen |= values
        for one in series:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert label in one["metric"], (query, label)
    assert seen != {"0"} or panel["title"] in QUIET


def test_panels_lie_side_by_side_and_have_their_own_numbers() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))


def test_titles_are_told_apart() -> None:
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(titles) == len(set(titles))


def test_the_dashboard_names_no_server_of_its_own() -> None:
    text = Path(DEPLOY / "dashboard.json").read_text()
    assert set(re.findall(r'"uid": "([^"]+)"', text)) == {"${source}", DASHBOARD["uid"]}
