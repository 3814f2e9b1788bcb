"""How full the disks are on which Freight keeps files: those of FREIGHT_HOME, EXPORT_DIR and METRICS_DIR."""

import contextlib
import errno
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from django.conf import settings

_FOLDERS: Final = ("FREIGHT_HOME", "EXPORT_DIR", "METRICS_DIR")
# Above it readiness says "degraded", and the alert DiskAlmostFull fires.
ALMOST_FULL_RATIO: Final = 0.9
_latest: dict[str, float] = {}


def is_full(error: OSError) -> bool:
    """Return whether the error says that a disk, quota or file may not grow."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def measure() -> Mapping[str, float]:
    """Return how full each disk is, 0 to 1, by the first setting whose folder is on it.

    Blocks while a network disk does not answer.
    """
    ratios: dict[str, float] = {}
    devices: set[int] = set()
    for name in _FOLDERS:
        with contextlib.suppress(OSError):  # a network disk that is away
            folder = _nearest_existing(Path(getattr(settings, name)))
            if (device := folder.stat().st_dev) not in devices:
                devices.add(device)
                ratios[name] = _used_ratio(folder)
    _latest.clear()
    _latest.update(ratios)
    return ratios


def latest() -> Mapping[str, float]:
    """Return what the health checks of this process measured last, so that no scrape waits for a disk."""
    return dict(_latest) or measure()


def _nearest_existing(path: Path) -> Path:
    return next(each for each in _with_parents(path) if each.exists())


def _with_parents(path: Path) -> Iterator[Path]:
    yield path
    yield from path.parents


def _used_ratio(folder: Path) -> float:
    # As df computes it: blocks reserved for root are not free.
    disk = shutil.disk_usage(folder)
    return disk.used / ((disk.used + disk.free) or 1)
