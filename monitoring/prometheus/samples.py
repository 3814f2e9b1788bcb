"""Samples by name and labels, with the sums, groups and quantiles that the JSON reports need."""

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
        """Take the current samples of metrics."""
        return cls(
            {
                (sample.name, tuple(sorted(sample.labels.items()))): sample.value
                for family in families
                for sample in family.samples
            }
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned, in this or another process."""
        return cls(
            {(name, tuple(sorted(labels.items()))): value for name, labels, value in document["samples"]},
            document["seconds"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the set as lists and dictionaries."""
        return {
            "seconds": self.seconds,
            "samples": [[name, dict(labels), value] for (name, labels), value in self.samples.items()],
        }

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a name with these labels; 0 where there are none."""
        label_filter = set(labels.items())
        return sum(
            value
            for (each, pairs), value in self.samples.items()
            if each == name and (not label_filter or label_filter <= set(pairs))
        )

    def total_by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Return the sum of the samples of a name for each value of a label."""
        label_filter = set(labels.items())
        totals: dict[str, float] = {}
        for (each, pairs), value in self.samples.items():
            if each == name and label_filter <= set(pairs):
                label_value = dict(pairs).get(label, "")
                totals[label_value] = totals.get(label_value, 0.0) + value
        return totals

    def quantile(self, name: str, rank: float, **labels: str) -> float:
        """Estimate a quantile (`rank` 0 to 1) of a histogram; 0 where it is empty.

        As histogram_quantile() of Prometheus does: observations are spread evenly between the bounds of a bucket.
        """
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
        """Return the mean of the observations of a histogram; 0 where it is empty."""
        count = self.total(f"{name}_count", **labels)
        return self.total(f"{name}_sum", **labels) / count if count > 0 else 0.0

    def growth_since(self, earlier: "SampleSet", *, seconds: float) -> "SampleSet":
        """Return the growth of counters and histograms in `seconds`; gauges mean nothing in it."""
        return SampleSet(
            {key: max(0.0, value - earlier.samples.get(key, 0.0)) for key, value in self.samples.items()}, seconds
        )

    def plus(self, other: "SampleSet") -> "SampleSet":
        """Return the sum of both, sample by sample."""
        totals = dict(self.samples)
        for key, value in other.samples.items():
            totals[key] = totals.get(key, 0.0) + value
        return SampleSet(totals, max(self.seconds, other.seconds))
