"""Numbers by name and labels, as the JSON reports ask for them: sums, groups and quantiles."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from prometheus_client import Metric

SampleKey = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class SampleSet:
    """Samples at one moment, or their growth over some `seconds`."""

    samples: Mapping[SampleKey, float] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def from_families(cls, families: Iterable[Metric]) -> Self:
        """Take the samples of metrics as they stand."""
        return cls(
            {
                (sample.name, tuple(sorted(sample.labels.items()))): sample.value
                for family in families
                for sample in family.samples
            }
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `written` returned, in this or another process."""
        return cls(
            {(name, tuple(sorted(labels.items()))): value for name, labels, value in document["samples"]},
            document["seconds"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return {
            "seconds": self.seconds,
            "samples": [[name, dict(labels), value] for (name, labels), value in self.samples.items()],
        }

    def total(self, name: str, **labels: str) -> float:
        """Add up the samples of a name that have these labels; 0 where there are none."""
        label_filter = set(labels.items())
        return sum(
            value
            for (each, carried), value in self.samples.items()
            if each == name and (not label_filter or label_filter <= set(carried))
        )

    def total_by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Add up the samples of a name for each value of a label."""
        label_filter = set(labels.items())
        totals: dict[str, float] = {}
        for (each, carried), value in self.samples.items():
            if each == name and label_filter <= set(carried):
                label_value = dict(carried).get(label, "")
                totals[label_value] = totals.get(label_value, 0.0) + value
        return totals

    def quantile(self, name: str, rank: float, **labels: str) -> float:
        """Estimate a quantile of a histogram as Prometheus does, evenly between bounds; 0 for none."""
        bucket_counts = self.total_by("le", f"{name}_bucket", **labels)
        buckets = sorted((float(bound), count) for bound, count in bucket_counts.items())
        if not buckets or buckets[-1][1] <= 0:
            return 0.0
        target, lower_bound, lower_count = rank * buckets[-1][1], 0.0, 0.0
        for bound, count in buckets:
            if count >= target:
                if math.isinf(bound):
                    return lower_bound
                return lower_bound + (bound - lower_bound) * (
                    (target - lower_count) / (count - lower_count) if count > lower_count else 1.0
                )
            lower_bound, lower_count = bound, count
        return lower_bound

    def mean(self, name: str, **labels: str) -> float:
        """Return the mean of what a histogram observed; 0 for none."""
        count = self.total(f"{name}_count", **labels)
        return self.total(f"{name}_sum", **labels) / count if count > 0 else 0.0

    def growth_since(self, earlier: "SampleSet", *, seconds: float) -> "SampleSet":
        """Return by how much counters and histograms have grown; gauges mean nothing in it."""
        return SampleSet(
            {key: max(0.0, value - earlier.samples.get(key, 0.0)) for key, value in self.samples.items()}, seconds
        )

    def plus(self, other: "SampleSet") -> "SampleSet":
        """Add another host's numbers."""
        totals = dict(self.samples)
        for key, value in other.samples.items():
            totals[key] = totals.get(key, 0.0) + value
        return SampleSet(totals, max(self.seconds, other.seconds))
