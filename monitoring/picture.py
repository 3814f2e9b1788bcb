"""Numbers by name and labels, as the JSON reports ask for them: sums, groups and quantiles."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from prometheus_client import Metric

Sample = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Picture:
    """Samples at one moment, or their growth over some `seconds`."""

    samples: Mapping[Sample, float] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def of(cls, families: Iterable[Metric]) -> Self:
        """This will take the samples of metrics as they stand."""
        return cls(
            {
                (sample.name, tuple(sorted(sample.labels.items()))): sample.value
                for family in families
                for sample in family.samples
            }
        )

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Self:
        """This will read what `written` returned, in this or another process."""
        return cls(
            {(name, tuple(sorted(labels.items()))): value for name, labels, value in written["samples"]},
            written["seconds"],
        )

    def written(self) -> dict[str, Any]:
        """This will return it as JSON knows it."""
        return {
            "seconds": self.seconds,
            "samples": [[name, dict(labels), value] for (name, labels), value in self.samples.items()],
        }

    def total(self, name: str, **labels: str) -> float:
        """This will add up the samples of a name that have these labels; 0 where there are none."""
        wanted = set(labels.items())
        return sum(
            value
            for (each, carried), value in self.samples.items()
            if each == name and (not wanted or wanted <= set(carried))
        )

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """This will add up the samples of a name for each value of a label."""
        wanted = set(labels.items())
        found: dict[str, float] = {}
        for (each, carried), value in self.samples.items():
            if each == name and wanted <= set(carried):
                which = dict(carried).get(label, "")
                found[which] = found.get(which, 0.0) + value
        return found

    def quantile(self, name: str, rank: float, **labels: str) -> float:
        """This will estimate a quantile of a histogram as Prometheus does, evenly between bounds; 0 for none."""
        found = self.by("le", f"{name}_bucket", **labels)
        buckets = sorted((float(bound), count) for bound, count in found.items())
        if not buckets or buckets[-1][1] <= 0:
            return 0.0
        wanted, low, below = rank * buckets[-1][1], 0.0, 0.0
        for bound, count in buckets:
            if count >= wanted:
                if math.isinf(bound):
                    return low
                return low + (bound - low) * ((wanted - below) / (count - below) if count > below else 1.0)
            low, below = bound, count
        return low

    def mean(self, name: str, **labels: str) -> float:
        """This will return the mean of what a histogram observed; 0 for none."""
        count = self.total(f"{name}_count", **labels)
        return self.total(f"{name}_sum", **labels) / count if count > 0 else 0.0

    def since(self, before: "Picture", *, seconds: float) -> "Picture":
        """This will return by how much counters and histograms have grown; gauges mean nothing in it."""
        return Picture(
            {key: max(0.0, value - before.samples.get(key, 0.0)) for key, value in self.samples.items()}, seconds
        )

    def plus(self, other: "Picture") -> "Picture":
        """This will add another host's numbers."""
        added = dict(self.samples)
        for key, value in other.samples.items():
            added[key] = added.get(key, 0.0) + value
        return Picture(added, max(self.seconds, other.seconds))
