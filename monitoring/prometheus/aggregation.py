"""Adds up the metrics of a host: counters and histograms over all its processes ever, gauges over the living ones.

The counts of ended processes are moved into one file, `retired.json`, which lists the processes it holds: where the
move is interrupted by a kill, nothing is lost or counted twice.
"""

import contextlib
import json
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson
from prometheus_client import REGISTRY, Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from monitoring.prometheus import multiprocess

_RETIRED_FILE: Final = "retired.json"
_PROCESS_PREFIXES: Final = ("process_", "python_")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _SampleKey:
    """The identity of one sample: its metric, its own name, its labels; of a bucket of a histogram the bound."""

    metric: str
    name: str
    labels: Labels
    help: str
    bound: float | None


@dataclass
class _Totals:
    """Values by kind (`counter`, `histogram`, `gauge_livesum` …) and key; of gauges also when they were set."""

    by_kind: dict[str, dict[str, float]] = field(default_factory=dict)
    set_at: dict[str, float] = field(default_factory=dict)

    def add(self, kind: str, samples: Iterable[tuple[str, float, float]]) -> None:
        """Add the samples `(key, value, set at)` of one process."""
        values = self.by_kind.setdefault(kind, {})
        if kind in {"counter", "histogram", "summary", "gauge_livesum"}:
            for key, value, _ in samples:
                values[key] = values.get(key, 0.0) + value
        elif kind == "gauge_livemax":
            for key, value, _ in samples:
                values[key] = max(value, values.get(key, value))
        else:
            for key, value, at in samples:
                if key not in values or at > self.set_at.get(key, 0.0):
                    values[key], self.set_at[key] = value, at


def collect_families() -> list[Metric]:
    """Return every metric that the apps declare, added up over all processes of this host."""
    directory = multiprocess.metrics_directory()
    if directory is None:
        return [metric for metric in REGISTRY.collect() if not metric.name.startswith(_PROCESS_PREFIXES)]
    with multiprocess.directory_lock(directory) as holds_lock:
        totals = _aggregate_directory(directory, retire=holds_lock)
    return _build_families(totals)


def _aggregate_directory(directory: Path, *, retire: bool) -> _Totals:
    """Add up the folder; `retire` moves the counts of ended processes into one file, under the folder's lock."""
    retired = _read_retired(directory)
    totals, dead_totals = _Totals(), _Totals()
    for kind, values in retired["sums"].items():
        dead_totals.add(kind, ((key, value, 0.0) for key, value in values.items()))
    dead_identities: set[str] = set()
    for path in sorted(directory.glob("*.db")):
        kind, _, identity = path.stem.rpartition("_")
        if multiprocess.is_alive(identity):
            totals.add(kind, _read_values(path))
            continue
        dead_identities.add(identity)
        if not kind.startswith("gauge") and identity not in retired["holds"]:
            dead_totals.add(kind, _read_values(path))
    for kind, values in dead_totals.by_kind.items():
        totals.add(kind, ((key, value, 0.0) for key, value in values.items()))
    if retire and dead_identities:
        _retire_dead(directory, dead_totals, dead_identities)
    return totals


def _read_values(path: Path) -> Iterator[tuple[str, float, float]]:
    # Another process has just retired it, or its own was killed while it created the file.
    with contextlib.suppress(FileNotFoundError, RuntimeError, ValueError, struct.error):
        for key, value, at, _ in MmapedDict.read_all_values_from_file(path):  # type: ignore[no-untyped-call]  # the library is untyped
            yield key, value, at


def _read_retired(directory: Path) -> dict[str, Any]:
    try:
        retired: dict[str, Any] = orjson.loads((directory / _RETIRED_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {"holds": [], "sums": {}}
    return retired


def _retire_dead(directory: Path, dead_totals: _Totals, dead_identities: set[str]) -> None:
    """Write the counts of ended processes, and only then remove their files; the folder's lock is held."""
    with contextlib.suppress(OSError):
        temporary = directory / f"{_RETIRED_FILE}.{os.getpid()}"
        temporary.write_bytes(orjson.dumps({"holds": sorted(dead_identities), "sums": dead_totals.by_kind}))
        temporary.replace(directory / _RETIRED_FILE)
        for identity in dead_identities:
            for path in (*directory.glob(f"*_{identity}.db"), *directory.glob(f"{identity}.*")):
                path.unlink(missing_ok=True)


@lru_cache(maxsize=50_000)
def _parse_key(key: str) -> _SampleKey:
    metric, name, labels, help_text = json.loads(key)
    bound = labels.pop("le", None)
    return _SampleKey(metric, name, tuple(labels.items()), help_text, None if bound is None else float(bound))


def _build_families(totals: _Totals) -> list[Metric]:
    families: dict[str, Metric] = {}
    histograms: dict[str, dict[Labels, _Histogram]] = {}
    for kind, values in totals.by_kind.items():
        metric_type = kind.partition("_")[0]  # without the mode of a gauge
        for raw, value in values.items():
            key = _parse_key(raw)
            metric = families.get(key.metric)
            if metric is None:
                metric = families[key.metric] = Metric(key.metric, key.help, metric_type)
            if metric_type != "histogram":
                metric.samples.append(Sample(key.name, dict(key.labels), value))
                continue
            histogram = histograms.setdefault(key.metric, {}).setdefault(key.labels, _Histogram())
            if key.bound is None:
                histogram.sum += value
            else:
                histogram.bounds.append((key.bound, value))
    for name, children in histograms.items():
        for labels, histogram in children.items():
            families[name].samples.extend(histogram.samples(name, dict(labels)))
    return sorted(families.values(), key=lambda metric: metric.name)


@lru_cache(maxsize=1000)
def _format_bound(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # the library is untyped


@dataclass
class _Histogram:
    """One child of a histogram: the observations of each bucket alone, and their sum."""

    bounds: list[tuple[float, float]] = field(default_factory=list)
    sum: float = 0.0

    def samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        """Return the samples as they are exposed: buckets are cumulative."""
        cumulative = 0.0
        for bound, value in sorted(self.bounds):
            cumulative += value
            yield Sample(f"{name}_bucket", labels | {"le": _format_bound(bound)}, cumulative)
        yield Sample(f"{name}_count", labels, cumulative)
        yield Sample(f"{name}_sum", labels, self.sum)
