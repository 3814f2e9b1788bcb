"""Metrics of the decisions of the limiter."""

from typing import Final

from django.conf import settings
from prometheus_client import Counter

DECISIONS: Final = ("allowed", "rejected", "exempt")

_decisions = Counter(
    "ratelimit_decisions_total",
    "What the rate limits have decided: a request may go on, is refused, or is held by no limit.",
    ["policy", "decision"],
)
# Created at once, so that every series exists from the first scrape.
_series: Final = {
    (policy, decision): _decisions.labels(policy, decision)
    for policy in settings.RATE_LIMITS
    for decision in DECISIONS
}


def count_decision(policy: str, decision: str) -> None:
    """Count one decision."""
    series = _series.get((policy, decision))
    if series is not None:
        series.inc()


def process_decisions() -> dict[tuple[str, str], int]:
    """Return the decisions that this process has counted."""
    return {
        (sample.labels["policy"], sample.labels["decision"]): int(sample.value)
        for metric in _decisions.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
