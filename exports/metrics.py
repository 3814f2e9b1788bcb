"""Prometheus metrics of exports; the JSON report is `exports.queue_report`."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

OUTCOMES: Final = ("done", "failed", "cancelled", "refused")
TOTAL: Final = Counter("exports", "Exports and documents by format and end.", ["format", "outcome"])
DURATION: Final = Histogram(
    "export_duration_seconds",
    "From the request for an export or document to its end.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
KINDS: Final = ("exports", "imports")
jobs: Final = Gauge(
    "background_jobs",
    "Background exports and imports that are not finished.",
    ["kind", "state"],
    multiprocess_mode="livemostrecent",
)
oldest_queued: Final = Gauge(
    "background_job_oldest_queued_seconds",
    "For how long the oldest queued export or import has waited since it was ordered.",
    ["kind"],
    multiprocess_mode="livemostrecent",
)
missing_files: Final = Gauge(
    "export_files_missing",
    "Finished exports, of the newest 20, whose file is not in EXPORT_DIR of this host.",
    multiprocess_mode="livemostrecent",
)


def declare(formats: tuple[str, ...]) -> None:
    """Create every series at zero, so that the first scrape has them."""
    for name in formats:
        for outcome in OUTCOMES:
            TOTAL.labels(name, outcome)
    for kind in KINDS:
        oldest_queued.labels(kind)
        for state in ("queued", "running"):
            jobs.labels(kind, state)
