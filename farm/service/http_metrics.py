"""Metrics of HTTP: how many requests, and how long they take, by the template of their route."""

from prometheus_client import CollectorRegistry, Counter, Histogram

__all__ = ["HttpMetrics"]

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1, 3, 10, 30)
"""Upper bounds in seconds."""


class HttpMetrics:
    """Counts answers. Labels are templates of routes, so that their number is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "farm_http_requests_total",
            "Requests that were answered, by method, route and status.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "farm_http_request_seconds",
            "Seconds until a request is answered, by route; streams of events until they end.",
            ("route",),
            registry=registry,
            buckets=BUCKETS,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer. route: its template; "other" if no route matches."""
        known = method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
