"""Which processes should run and do not: missing, hung or crashed, over all hosts."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog
from django.conf import settings
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monitoring import metrics
from monitoring.heartbeat import HUNG_SECONDS
from monitoring.prometheus import registrations
from monitoring.runtime import hosts

_log = structlog.get_logger("monitoring.processes")
# A process may be away for this long while it is replaced.
_GRACE_SECONDS: Final = 2.0
# A crash that healed itself is told for this long.
_TOLD_SECONDS: Final = 60.0
# A pool is exhausted that had no idle connection for those that waited in so many samples, one a second.
_EXHAUSTED_SAMPLES: Final = 2
# Without EXPECTED_PROCESSES: whatever else runs, one relay must.
_ALWAYS_EXPECTED: Final = {"relay": 1}
# A process of the role serves those.
_SERVED_ROLES: Final = {"all": ("api", "ws")}
RELAY: Final = "relay"


def expected_processes() -> dict[str, int]:
    """Return how many processes of each role should run on all hosts together."""
    return _ALWAYS_EXPECTED | dict(settings.EXPECTED_PROCESSES)


class ProcessWatch:
    """What this process knows of the others; `update` is called once a second."""

    def __init__(self) -> None:
        self._missing_since: dict[str, float] = {}
        self._relay_seen_at = time.monotonic()

    def update(self) -> None:
        """Look which processes run, and in one process of the host count those that crashed."""
        now = time.monotonic()
        statuses = hosts.process_statuses()
        running = _count_roles(statuses)
        for role, expected in expected_processes().items():
            if running[role] >= expected:
                self._missing_since.pop(role, None)
            else:
                self._missing_since.setdefault(role, now)
        ages = [each["heartbeatAge"] for each in statuses if registrations.role_of(each["process"]) == RELAY]
        if ages or _runs_on_unseen_host(RELAY):
            self._relay_seen_at = max(self._relay_seen_at, now - min(ages, default=0.0))
        if hosts.is_leader:
            for crash in registrations.collect_crashed():
                metrics.process_crashes.labels(crash.name).inc()
                _log.error("process ended without saying so", process=crash.name, pid=crash.pid)

    @property
    def relay_heartbeat_age(self) -> float:
        """For how many seconds no relay has been heard of, on any host."""
        return time.monotonic() - self._relay_seen_at

    def problems(self) -> list[str]:
        """Return a sentence for each process, or role, that is not as it should be."""
        statuses, now = hosts.process_statuses(), time.monotonic()
        running, expected = _count_roles(statuses), expected_processes()
        sentences = [
            f"{role}: {running[role] or 'none'} of {expected[role]} runs"
            for role, since in sorted(self._missing_since.items())
            if now - since > _GRACE_SECONDS and running[role] < expected.get(role, 0)
        ]
        for each in statuses:
            if is_hung(each):
                sentences.append(
                    f"{each['process']} on {each['host']} hangs: silent for {each['heartbeatAge']:.0f} s"
                )
            sentences += [
                f"{each['process']} on {each['host']}: {text}"
                for text in each.get("stalled", {}).get("workers", ())
            ]
        return sentences + _crash_sentences(hosts.crashes())

    def detail(self) -> dict[str, Any]:
        """Return the detail about processes for the health endpoints."""
        running = _count_roles(hosts.process_statuses())
        fields: dict[str, Any] = {
            "status": "ok",
            "expected": expected_processes(),
            "running": {role: number for role, number in sorted(running.items()) if number},
        }
        problems = self.problems()
        return fields | ({"status": "warning", "reason": "; ".join(problems)} if problems else {})


watch: Final = ProcessWatch()


def pool_detail() -> dict[str, Any]:
    """Return the detail about the connection pools of all processes; a warning where one is exhausted."""
    pools = [(each, each["pool"]) for each in hosts.process_statuses() if each.get("pool")]
    fields: dict[str, Any] = {"status": "ok"}
    fields |= {name: sum(pool[name] for _, pool in pools) for name in ("used", "idle", "waiting")}
    exhausted = [
        f"{each['process']} on {each['host']} has {pool['used']} of {pool['used']} connections in use,"
        f" {pool['waiting']} requests wait"
        for each, pool in pools
        if pool["exhaustedSeconds"] >= _EXHAUSTED_SAMPLES
    ]
    return fields | ({"status": "warning", "reason": "; ".join(exhausted)} if exhausted else {})


def is_hung(status: Mapping[str, Any]) -> bool:
    """Return whether the main loop of a process has not turned for too long."""
    return bool(status["heartbeatAge"] > HUNG_SECONDS)


def _count_roles(statuses: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Count the processes that run, by role; those of hosts that are out of sight as they were last seen."""
    names = [each["process"] for each in statuses]
    if hosts.is_partial:
        names += [each["process"] for host in hosts.last_known_hosts() for each in host.processes]
    counts = Counter(map(registrations.role_of, names))
    for role, served in _SERVED_ROLES.items():
        for each in served:
            counts[each] += counts[role]
    return counts


def _runs_on_unseen_host(role: str) -> bool:
    return hosts.is_partial and any(
        registrations.role_of(each["process"]) == role
        for host in hosts.last_known_hosts()
        for each in host.processes
    )


def _crash_sentences(crashes: list[dict[str, Any]]) -> list[str]:
    """Return a sentence for each process that crashed just now, with how often it has lately."""
    times: dict[tuple[str, str], list[float]] = {}
    for each in crashes:
        times.setdefault((each["process"], each["host"]), []).append(each["at"])
    sentences = []
    for (process, host), ended in sorted(times.items()):
        seconds = time.time() - max(ended)
        if seconds < _TOLD_SECONDS:
            often = f", {len(ended)} times in ten minutes" if len(ended) > 1 else ""
            sentences.append(f"{process} on {host} crashed or was killed {seconds:.0f} s ago{often}")
    return sentences


class ProcessCountCollector(Collector):
    """How many processes of each role should run and do, on all hosts together, and the age of the relay."""

    def collect(self) -> Iterable[Metric]:
        """Return the gauges as this process sees them."""
        running, expected = _count_roles(hosts.process_statuses()), expected_processes()
        expected_gauge = GaugeMetricFamily(
            "processes_expected", "Processes that should run on all hosts, by role.", labels=["role"]
        )
        running_gauge = GaugeMetricFamily(
            "processes_running", "Processes that run on all hosts, hung ones among them, by role.", labels=["role"]
        )
        for role, number in sorted(expected.items()):
            expected_gauge.add_metric([role], number)
            running_gauge.add_metric([role], running[role])
        yield expected_gauge
        yield running_gauge
        yield GaugeMetricFamily(
            "relay_heartbeat_age_seconds",
            "For how long no relay has been heard of, on any host.",
            value=watch.relay_heartbeat_age,
        )
