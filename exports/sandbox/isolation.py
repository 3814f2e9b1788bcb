"""Limits a renderer puts on itself before it reads a task: no network, bounded memory, files and CPU time."""

import contextlib
import ctypes
import os
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MEMORY_BYTES: Final = 2 * 1024**3
FILE_BYTES: Final = 64 * 1024**2
OPEN_FILES: Final = 128
# For the whole life of the process; `limit_cpu` bounds one task.
CPU_SECONDS: Final = 1800
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_CLONE_NEWUSER_AND_NET: Final = 0x1000_0000 | 0x4000_0000


def isolate(parent_pid: int) -> None:
    """Drop privileges and network, set the resource limits, and die with the parent.

    Call it before the process has threads. Exits where the parent is already gone.
    """
    if os.uname().sysname == "Linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # An empty network namespace. Where the system forbids it, `AssetFetcher` alone keeps documents offline.
        libc.unshare(_CLONE_NEWUSER_AND_NET)
        # After `unshare`: new credentials clear the parent-death signal.
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:  # the parent died before the signal was set
        os._exit(1)
    for limit, maximum in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, CPU_SECONDS),
    ):
        # The system may have a lower limit, or not know this one.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (maximum, maximum))


def limit_cpu(seconds: int) -> None:
    """Allow the next task `seconds` of CPU time; the kernel kills a process that uses more."""
    allowed = int(cpu_seconds()) + 1 + seconds
    # The system's own limit may be lower than that of `isolate`, which then did not hold.
    _, hard_limit = resource.getrlimit(resource.RLIMIT_CPU)
    if hard_limit != resource.RLIM_INFINITY:
        allowed = min(allowed, hard_limit)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (allowed, hard_limit))


@contextlib.contextmanager
def limit_memory(extra_bytes: int) -> Iterator[None]:
    """Limit the address space to `extra_bytes` above today's use while the context lasts."""
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:  # no /proc: the limit of `isolate` remains
        yield
        return
    previous, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS,
        (min(used + extra_bytes, hard_limit if hard_limit >= 0 else used + extra_bytes), hard_limit),
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (previous, hard_limit))


def cpu_seconds() -> float:
    """Return the CPU time of this process in seconds, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_resident_bytes() -> int:
    """Return the peak resident size of this process since `exec`.

    Linux's `getrusage` counts the time before `exec` too, when the process was a copy of its parent.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux: `exec` resets the counter there, and it counts bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # proc(5): "VmHWM: Peak resident set size".
    return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[0]) * 1024
