"""A disk that is almost full is named by the health check, and measured once for all folders that are on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from health_check.exceptions import ServiceWarning
from prometheus_client import CollectorRegistry

from monitoring import disks
from monitoring.dependencies.probes import Disks
from monitoring.prometheus.collectors import ProcessCollector
from tests import small_disk


@pytest.fixture
def export_disk(tmp_path: Path, settings: Any) -> Iterator[Path]:
    settings.FREIGHT_HOME, settings.METRICS_DIR = tmp_path, str(tmp_path / "metrics" / "not yet there")
    with small_disk.mounted(tmp_path / "exports", "1m") as folder:
        settings.EXPORT_DIR = folder
        yield folder


def used_ratio(folder: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(ProcessCollector())
    return registry.get_sample_value("disk_used_ratio", {"folder": folder})


def test_a_full_disk_is_named_until_it_has_room(export_disk: Path) -> None:
    ballast = small_disk.fill(export_disk)

    with pytest.raises(ServiceWarning, match=r"almost full: .*EXPORT_DIR 100%"):
        Disks().run()
    assert used_ratio("EXPORT_DIR") == 1.0

    ballast.unlink()
    assert disks.measure()["EXPORT_DIR"] < 0.5
    assert (used_ratio("EXPORT_DIR"), used_ratio("METRICS_DIR")) == (disks.latest()["EXPORT_DIR"], None)
