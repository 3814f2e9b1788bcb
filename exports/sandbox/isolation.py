"""What a renderer takes from itself before it looks at anything: the network, memory and time without end."""

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
# For the whole life of the process, and for one task.
CPU_SECONDS: Final = 1800
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_CLONE_NEWUSER_AND_NET: Final = 0x1000_0000 | 0x4000_0000


def isolate(parent_pid: int) -> None:
    """Bind this process, which has no threads yet, to its limits and to its parent's life."""
    if os.uname().sysname == "Linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # A network of its own, with nothing in it. Where the system forbids that, the fetcher alone refuses.
        libc.unshare(_CLONE_NEWUSER_AND_NET)
        # After it: new credentials forget this.
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:  # orphaned before the line above took hold
        os._exit(1)
    for limit, maximum in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, CPU_SECONDS),
    ):
        # A system may set, or know, no such limit.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (maximum, maximum))


def limit_cpu(seconds: int) -> None:
    """Give the next task so many seconds of CPU; the kernel ends a process that uses more."""
    used = int(cpu_seconds()) + 1
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (min(used + seconds, CPU_SECONDS), CPU_SECONDS))


@contextlib.contextmanager
def limit_memory(extra_bytes: int) -> Iterator[None]:
    """Let this process take so much more memory than it has, and no more, for as long as it lasts."""
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:  # a system that does not tell: its own limit stands
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
    """Return what this process has used up."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_resident_bytes() -> int:
    """Return the most memory that this process has had at once.

    Linux's `getrusage` also knows what the process was before `exec`: a copy of its parent, however large.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # no Linux: there a new program begins its own count, in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024  # type: ignore[index]
