"""A real Prometheus for tests, which scrapes often and evaluates the farm's own rules."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

DEPLOY = Path(__file__).parents[1] / "deploy"

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="no Prometheus on PATH"
)

CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}
rule_files: [rules.yml, alerts.yml]
scrape_configs:
  - job_name: farm
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@dataclass(frozen=True)
class Prometheus:
    """A running server. port: where it answers."""

    port: int

    def ask(self, path: str, **query: object) -> Any:
        """Return the data of an answer of its API. Raises ValueError for a query that is wrong."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(query)}"
        with urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def values(self, query: str) -> list[float]:
        """Return the values of a query's series at present."""
        return [float(one["value"][1]) for one in self.ask("query", query=query)["result"]]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def wait(self, is_there: Callable[[], bool], seconds: float = 120) -> None:
        """Return as soon as something is so."""
        deadline = monotonic() + seconds
        while not is_there():
            assert monotonic() < deadline
            Event().wait(0.1)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def watching(target: int, folder: Path) -> Iterator[Prometheus]:
    """Watch a farm's port with the farm's own rules. Alerts fire at once, whatever their ``for``."""
    folder.mkdir()
    shutil.copy(DEPLOY / "rules.yml", folder)
    alerts = (DEPLOY / "alerts.yml").read_text()
    (folder / "alerts.yml").write_text(re.sub(r"^ +for: \w+\n", "", alerts, flags=re.MULTILINE))
    (folder / "prometheus.yml").write_text(CONFIG.format(port=target))
    server = Prometheus(free_port())
    words = (
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{server.port}",
    )
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:

        def has_scraped() -> bool:
            assert process.poll() is None
            try:
                return bool(server.values("count_over_time(farm_build_info[1m]) > 2"))
            except URLError:
                return False

        try:
            server.wait(has_scraped)
            yield server
        finally:
            process.terminate()


@contextmanager
def watched_service(
    folder: Path, *words: str, **environment: str
) -> Iterator[tuple[str, Prometheus]]:
    """Yield the address of a service whose root ``here`` is a folder, and a server that watches it.

    Its ledger is there as well. words: more options of farm serve. environment: more variables.
    """
    port = free_port()
    serve = ("serve", "--port", str(port), "--root", f"here={folder}", *words)
    variables = os.environ | {"FARM_LEDGER": str(folder / "ledger.db")} | environment
    with subprocess.Popen(
        [sys.executable, "-m", "farm", *serve], env=variables, stderr=subprocess.PIPE, text=True
    ) as service:
        assert service.stderr
        try:
            assert service.stderr.readline().startswith("serving on")
            with watching(port, folder / "prometheus") as prometheus:
                yield f"http://127.0.0.1:{port}", prometheus
        finally:
            service.terminate()
            service.wait(60)
