"""The collectors of a scrape: metrics of all processes of the host, the processes, and derived gauges."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import psutil
from prometheus_client import PLATFORM_COLLECTOR, CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from monitoring import disks
from monitoring.memory import memory_limit
from monitoring.prometheus import aggregation, registrations
from monitoring.prometheus.samples import SampleSet

# The last known error of each dependency, None where it works.
DependencyErrors = Callable[[], Mapping[str, str | None]]


class HostCollector(Collector):
    """Every metric that an app declares, added up over the processes of this host, and derived gauges."""

    def __init__(self, recent_samples: Callable[[], SampleSet], dependency_errors: DependencyErrors) -> None:
        self._recent_samples, self._dependency_errors = recent_samples, dependency_errors

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they stand."""
        families = aggregation.collect_families()
        yield from families
        # A page has thousands of samples: only these few are indexed.
        cache_requests = [metric for metric in families if metric.name == "cache_requests"]
        yield from _derived_gauges(
            SampleSet.from_families(cache_requests), self._recent_samples(), self._dependency_errors()
        )


class ProcessCollector(Collector):
    """Memory, processor time and descriptors of each process of this host."""

    def collect(self) -> Iterable[Metric]:
        """Read the figures of the living processes from the operating system."""
        gauges = {
            name: GaugeMetricFamily(name, text, labels=["process"])
            for name, text in (
                ("process_resident_memory_bytes", "Memory that a process has in use."),
                ("process_virtual_memory_bytes", "Memory that a process has reserved."),
                ("process_open_fds", "Files and sockets that a process has open."),
                ("process_max_fds", "Files and sockets that a process may open."),
                ("process_threads", "Threads of a process."),
                ("process_start_time_seconds", "When a process began, in seconds since 1970."),
                ("process_heartbeat_age_seconds", "For how long the main loop of a process has not turned."),
                ("process_heap_used_bytes", "Memory that a process has in use: its resident memory."),
                ("process_heap_total_bytes", "Memory that a process may use: its cgroup's limit, else the budget."),
            )
        }
        cpu = CounterMetricFamily(
            "process_cpu_seconds", "Processor time that a process has used.", labels=["process"]
        )
        limit = memory_limit()
        for member in registrations.living():
            gauges["process_heartbeat_age_seconds"].add_metric([member.name], member.heartbeat_age)
            for name, value in _process_samples(member.pid, limit):
                (cpu if name == "process_cpu_seconds" else gauges[name]).add_metric([member.name], value)
        return [*gauges.values(), cpu, *_host_gauges()]


def _host_gauges() -> Iterator[Metric]:
    yield GaugeMetricFamily("host_cpu_cores", "Processors of this host.", value=os.cpu_count() or 1)
    disk = GaugeMetricFamily(
        "disk_used_ratio",
        "How full a disk is, 0 to 1, by the first folder that is on it.",
        labels=["folder"],
    )
    for folder, ratio in disks.latest().items():
        disk.add_metric([folder], ratio)
    yield disk


def _process_samples(pid: int, limit: int) -> Iterator[tuple[str, float]]:
    with contextlib.suppress(psutil.Error, OSError):  # it may end at any moment
        process = psutil.Process(pid)
        with process.oneshot():
            memory, times = process.memory_info(), process.cpu_times()
            yield "process_resident_memory_bytes", memory.rss
            yield "process_virtual_memory_bytes", memory.vms
            yield "process_heap_used_bytes", memory.rss
            yield "process_heap_total_bytes", limit
            yield "process_threads", process.num_threads()
            yield "process_start_time_seconds", process.create_time()
            yield "process_cpu_seconds", times.user + times.system
            yield "process_open_fds", process.num_fds()
            if hasattr(process, "rlimit"):
                yield "process_max_fds", process.rlimit(psutil.RLIMIT_NOFILE)[0]


def _derived_gauges(current: SampleSet, recent: SampleSet, errors: Mapping[str, str | None]) -> Iterator[Metric]:
    for name, dependency, text in (
        ("database_connected", "database", "Whether PostgreSQL answers: 1 or 0."),
        ("redis_connected", "redis", "Whether Redis answers: 1 or 0."),
    ):
        yield GaugeMetricFamily(name, text, value=float(dependency in errors and errors[dependency] is None))
    hits, lookups = current.total("cache_requests_total", result="hit"), current.total("cache_requests_total")
    yield GaugeMetricFamily(
        "cache_hit_ratio", "The part of the questions to caches that were answered, 0 to 1; 1 before any.",
        value=hits / lookups if lookups else 1.0,
    )  # fmt: skip
    quantile = recent.quantile("http_request_duration_seconds", 0.95)
    yield GaugeMetricFamily(
        "request_duration_ms", "The 95th percentile of answers in the last minute, in milliseconds.",
        value=quantile * 1000,
    )  # fmt: skip


def build_registry(
    recent_samples: Callable[[], SampleSet], dependency_errors: DependencyErrors, *others: Collector
) -> CollectorRegistry:
    """Return the registry of a scrape; `others` are collectors of what is computed elsewhere."""
    registry = CollectorRegistry()
    own = (HostCollector(recent_samples, dependency_errors), ProcessCollector(), PLATFORM_COLLECTOR)
    for collector in (*own, *others):
        registry.register(collector)
    return registry
