"""Metrics of HTTP: how many requests, and how long they take, by the template of their route."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from farm.control.metrics_table import METRICS, OTHER

__all__ = ["HttpMetrics"]

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1, 3, 10, 30)
"""Upper bounds in seconds."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class HttpMetrics:
    """Counts answers. Labels are templates of routes, so that their number is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        count, duration = "farm_http_requests_total", "farm_http_request_seconds"
        self._requests = Counter(
            count, METRICS[count].help, METRICS[count].labels, registry=registry
        )
        self._seconds = Histogram(
            duration,
            METRICS[duration].help,
            METRICS[duration].labels,
            buckets=BUCKETS,
            registry=registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer. route: its template, or the same word for all that no route matches."""
        known = method if method in _METHODS else OTHER
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
