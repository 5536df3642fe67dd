"""The one table of the farm's metrics: deploy/METRICS.md, the rules and the dashboard agree with it.

No label contains a job, a frame, a worker or a path, and names from outside pass `label_of`, so the
number of series stays small however long the farm runs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from farm.control.training_metrics import MOST_LOSSES

__all__ = ["METRICS", "OTHER", "MetricSpec", "label_of"]

OTHER: Final = "other"
"""Label in place of a name that is not known, or one too many."""


def label_of(known: Iterable[str], most: int) -> Callable[[str], str]:
    """Return what turns a name into a label: itself for the first few that are known, else OTHER."""
    shown = frozenset(sorted(known)[:most])
    return lambda name: name if name in shown else OTHER


@dataclass(frozen=True)
class MetricSpec:
    """A metric's type, labels and help text."""

    type: str
    labels: tuple[str, ...]
    help: str


METRICS = MappingProxyType(
    {
        "farm_units_total": MetricSpec(
            "counter",
            ("task", "plugin", "outcome"),
            "Units that ended or were retried: succeeded, skipped, retried, quarantined, cancelled.",
        ),
        "farm_frames_total": MetricSpec(
            "counter",
            ("task", "plugin", "outcome"),
            "Frames whose rendering ended: succeeded, skipped, quarantined, cancelled.",
        ),
        "farm_tiles_total": MetricSpec("counter", ("task", "plugin"), "Passes over a tile."),
        "farm_pixels_total": MetricSpec(
            "counter", ("task", "plugin"), "Pixels of finished frames, without tile overlap."
        ),
        "farm_overlap_pixels_total": MetricSpec(
            "counter",
            ("task", "plugin"),
            "Pixels computed again because tiles overlap, in every pass.",
        ),
        "farm_unit_duration_seconds": MetricSpec(
            "histogram",
            ("task", "plugin", "stage"),
            "Duration of each stage of a unit: queue, load, compute, write.",
        ),
        "farm_gang_wait_seconds": MetricSpec(
            "histogram",
            ("task", "plugin"),
            "Seconds from when a unit that several workers share is ready until they are gathered.",
        ),
        "farm_unit_retries_total": MetricSpec(
            "counter", ("task", "plugin", "reason"), "Failed attempts that were retried."
        ),
        "farm_unit_failures_total": MetricSpec(
            "counter",
            ("task", "plugin", "reason"),
            "Quarantined units, by the reason of their last failure.",
        ),
        "farm_jobs_finished_total": MetricSpec(
            "counter",
            ("task", "plugin", "outcome"),
            "Jobs that ended, by the state that they ended in.",
        ),
        "farm_stale_reports_total": MetricSpec(
            "counter", (), "Reports dropped because their worker no longer held the unit."
        ),
        "farm_worker_busy_seconds_total": MetricSpec(
            "counter", ("kind",), "Seconds that workers held a unit, by kind: cpu, gpu, finish."
        ),
        "farm_worker_up_seconds_total": MetricSpec(
            "counter", ("kind",), "Seconds that workers were up, by kind: cpu, gpu, finish."
        ),
        "farm_worker_deaths_total": MetricSpec(
            "counter", ("kind",), "Workers that died, or were killed."
        ),
        "farm_plugin_load_failures_total": MetricSpec(
            "counter", (), "Plugins that failed to load at start-up."
        ),
        "farm_training_steps_total": MetricSpec(
            "counter",
            ("task", "plugin"),
            "Steps that runs have taken, those that were undone or are repeated included.",
        ),
        "farm_training_pictures_total": MetricSpec(
            "counter", ("task", "plugin"), "Pictures in the batches of those steps."
        ),
        "farm_training_step_seconds": MetricSpec(
            "histogram",
            ("task", "plugin", "stage"),
            "Duration of each stage of a step, of the steps that were reported: data, compute, exchange, checkpoint.",
        ),
        "farm_training_loss": MetricSpec(
            "gauge",
            ("task", "plugin", "loss"),
            f"Losses of the latest step, by name; at most {MOST_LOSSES} names per task, the rest is dropped.",
        ),
        "farm_training_rate": MetricSpec(
            "gauge", ("task", "plugin"), "Learning rate of the latest step."
        ),
        "farm_units_in_state": MetricSpec(
            "gauge",
            ("state",),
            "Unfinished units in each state; ready units are queued.",
        ),
        "farm_jobs": MetricSpec("gauge", ("state",), "Jobs in each state."),
        "farm_workers": MetricSpec("gauge", ("state",), "Rendering workers that are idle or busy."),
        "farm_room": MetricSpec(
            "gauge", (), "Rendering workers that there is room for, whether or not they are up."
        ),
        "farm_gangs": MetricSpec("gauge", (), "Units that several workers share at present."),
        "farm_leases": MetricSpec(
            "gauge",
            ("kind",),
            "Units that workers hold, alone or together, by the kind of worker: cpu, gpu, finish.",
        ),
        "farm_queue_units": MetricSpec(
            "gauge", ("task",), "Units that are ready and wait for a worker."
        ),
        "farm_oldest_ready_unit_age_seconds": MetricSpec(
            "gauge",
            ("task",),
            "Seconds since the oldest ready unit of a task became ready; 0 if none is.",
        ),
        "farm_jobs_on_hold": MetricSpec(
            "gauge",
            ("hold",),
            "Jobs that wait for storage that is full or does not answer, or for a restart of the farm.",
        ),
        "farm_storage_transfers_total": MetricSpec(
            "counter",
            ("scheme", "direction"),
            "Files that were read from a remote storage or written to any, those included that failed.",
        ),
        "farm_storage_bytes_total": MetricSpec(
            "counter", ("scheme", "direction"), "Bytes of those files that arrived."
        ),
        "farm_storage_seconds_total": MetricSpec(
            "counter", ("scheme", "direction"), "Seconds that those files took."
        ),
        "farm_storage_errors_total": MetricSpec(
            "counter", ("scheme", "direction"), "Those files that the storage failed to move."
        ),
        "farm_database_seconds": MetricSpec(
            "histogram",
            ("access",),
            "Duration of the ledger's transactions, with what the farm does meanwhile: read, write.",
        ),
        "farm_database_errors_total": MetricSpec(
            "counter",
            ("access",),
            "Transactions that the database refused: it was locked, full or gone.",
        ),
        "farm_ledger_rows": MetricSpec(
            "gauge",
            ("table",),
            "Rows of the ledger's tables that grow with the jobs, looked at every five minutes.",
        ),
        "farm_ledger_bytes": MetricSpec(
            "gauge", (), "Bytes that the ledger's database takes, looked at every five minutes."
        ),
        "farm_http_requests_total": MetricSpec(
            "counter",
            ("method", "route", "status"),
            "Requests that a service answered, by method, template of the route, and status.",
        ),
        "farm_http_request_seconds": MetricSpec(
            "histogram",
            ("route",),
            "Seconds until a request is answered, by route; streams of events until they end.",
        ),
        "farm_build_info": MetricSpec(
            "gauge", ("version",), "Always 1; the label is the farm's version."
        ),
    }
)
"""Every metric that the farm exports; those of HTTP only as a service."""
