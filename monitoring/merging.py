"""The numbers of a host added up: counters and histograms over all its processes ever, gauges over the living.

What the dead have counted is moved into one file, `retired.json`, that names whom it holds: killed in the midst
of it, nothing is lost or counted twice.
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

from monitoring import shared

_RETIRED: Final = "retired.json"
_OWN_OF_A_PROCESS: Final = ("process_", "python_")


Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Key:
    """What one number is: its metric, its own name, its labels; of a histogram's bucket the bound."""

    metric: str
    name: str
    labels: Labels
    help: str
    bound: float | None


@dataclass
class _Sums:
    """Numbers by kind (`counter`, `histogram`, `gauge_livesum` …) and key; of gauges also when they were set."""

    by_kind: dict[str, dict[str, float]] = field(default_factory=dict)
    set_at: dict[str, float] = field(default_factory=dict)

    def add(self, kind: str, numbers: Iterable[tuple[str, float, float]]) -> None:
        """This will add the numbers `(key, value, set at)` of one process."""
        kept = self.by_kind.setdefault(kind, {})
        if kind in {"counter", "histogram", "summary", "gauge_livesum"}:
            for key, value, _ in numbers:
                kept[key] = kept.get(key, 0.0) + value
        elif kind == "gauge_livemax":
            for key, value, _ in numbers:
                kept[key] = max(value, kept.get(key, value))
        else:
            for key, value, at in numbers:
                if key not in kept or at > self.set_at.get(key, 0.0):
                    kept[key], self.set_at[key] = value, at


def families() -> list[Metric]:
    """This will return every metric that the apps declare, over all processes of this host."""
    where = shared.folder()
    if where is None:
        return [metric for metric in REGISTRY.collect() if not metric.name.startswith(_OWN_OF_A_PROCESS)]
    with shared.locked(where) as alone:
        sums = _read(where, retire=alone)
    return _families(sums)


def _read(where: Path, *, retire: bool) -> _Sums:
    """This will add up the folder; the dead are retired on the way where nobody else is at it."""
    retired = _retired(where)
    sums, dead = _Sums(), _Sums()
    for kind, numbers in retired["sums"].items():
        dead.add(kind, ((key, value, 0.0) for key, value in numbers.items()))
    gone: set[str] = set()
    for path in sorted(where.glob("*.db")):
        kind, _, identity = path.stem.rpartition("_")
        if shared.is_alive(identity):
            sums.add(kind, _numbers(path))
            continue
        gone.add(identity)
        if not kind.startswith("gauge") and identity not in retired["holds"]:
            dead.add(kind, _numbers(path))
    for kind, numbers in dead.by_kind.items():
        sums.add(kind, ((key, value, 0.0) for key, value in numbers.items()))
    if retire and gone:
        _retire(where, dead, gone)
    return sums


def _numbers(path: Path) -> Iterator[tuple[str, float, float]]:
    # Retired by somebody else just now; or its process was killed while it made the file.
    with contextlib.suppress(FileNotFoundError, RuntimeError, ValueError, struct.error):
        for key, value, at, _ in MmapedDict.read_all_values_from_file(path):  # type: ignore[no-untyped-call]
            yield key, value, at


def _retired(where: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = orjson.loads((where / _RETIRED).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {"holds": [], "sums": {}}
    return found


def _retire(where: Path, dead: _Sums, gone: set[str]) -> None:
    """This will write the counts of the dead down, and only then remove their files."""
    with contextlib.suppress(OSError):
        fresh = where / f"{_RETIRED}.{os.getpid()}"
        fresh.write_bytes(orjson.dumps({"holds": sorted(gone), "sums": dead.by_kind}))
        fresh.replace(where / _RETIRED)
        for identity in gone:
            for path in (*where.glob(f"*_{identity}.db"), *where.glob(f"{identity}.*")):
                path.unlink(missing_ok=True)


@lru_cache(maxsize=50_000)
def _parsed(key: str) -> _Key:
    metric, name, labels, about = json.loads(key)
    bound = labels.pop("le", None)
    return _Key(metric, name, tuple(labels.items()), about, None if bound is None else float(bound))


def _families(sums: _Sums) -> list[Metric]:
    found: dict[str, Metric] = {}
    histograms: dict[str, dict[Labels, _Histogram]] = {}
    for kind, numbers in sums.by_kind.items():
        shown = kind.partition("_")[0]  # which kind of gauge is of no interest any more
        for raw, value in numbers.items():
            key = _parsed(raw)
            metric = found.get(key.metric)
            if metric is None:
                metric = found[key.metric] = Metric(key.metric, key.help, shown)
            if shown != "histogram":
                metric.samples.append(Sample(key.name, dict(key.labels), value))
                continue
            histogram = histograms.setdefault(key.metric, {}).setdefault(key.labels, _Histogram())
            if key.bound is None:
                histogram.sum += value
            else:
                histogram.bounds.append((key.bound, value))
    for name, children in histograms.items():
        for labels, histogram in children.items():
            found[name].samples.extend(histogram.samples(name, dict(labels)))
    return sorted(found.values(), key=lambda metric: metric.name)


@lru_cache(maxsize=1000)
def _bound(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


@dataclass
class _Histogram:
    """One child of a histogram: what fell between two bounds, and the sum of it all."""

    bounds: list[tuple[float, float]] = field(default_factory=list)
    sum: float = 0.0

    def samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        """This will return the samples as they are exposed: each bucket holds those below it."""
        below = 0.0
        for bound, value in sorted(self.bounds):
            below += value
            yield Sample(f"{name}_bucket", labels | {"le": _bound(bound)}, below)
        yield Sample(f"{name}_count", labels, below)
        yield Sample(f"{name}_sum", labels, self.sum)
