"""Prometheus metrics of exports; the JSON report is `exports.reports.statistics`."""

from typing import Final

from prometheus_client import Counter, Histogram

OUTCOMES: Final = ("done", "failed", "cancelled", "refused")
TOTAL: Final = Counter("exports", "Exports and documents by format and end.", ["format", "outcome"])
DURATION: Final = Histogram(
    "export_duration_seconds",
    "From the request for an export or document to its end.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)


def declare(formats: tuple[str, ...]) -> None:
    """Create every series of `exports_total` at zero, so that the first scrape has them."""
    for name in formats:
        for outcome in OUTCOMES:
            TOTAL.labels(name, outcome)
