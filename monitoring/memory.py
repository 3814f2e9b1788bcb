"""The memory that a process may use."""

import contextlib
from pathlib import Path
from typing import Final

from django.conf import settings

# Of cgroups, version 2 and 1.
_CGROUP_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# Version 1 writes "no limit" as a number near the largest one.
_NO_LIMIT: Final = 1 << 60


def memory_limit() -> int:
    """Return the bytes that a process may use: the limit of its cgroup, else MEMORY_BUDGET_MB."""
    for path in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):
            limit = int(Path(path).read_text())
            if limit < _NO_LIMIT:
                return limit
    return int(settings.MEMORY_BUDGET_MB) * 1024 * 1024
