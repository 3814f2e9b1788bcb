"""What the kernel knows of processes: children, memory, open files, run delay, and which belong to a folder."""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

_PROC: Final = Path("/proc")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """Return the ids of the living children of a process."""
    pids = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name in brackets may hold anything; behind it stand state and parent.
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    pids.append(int(entry.name))
    return pids


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE


def open_files(pid: int) -> int:
    """Return the number of descriptors that a process holds."""
    return sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())


def run_delay_seconds(pid: int) -> float:
    """Return for how long a process' first thread, its event loop, was ready to run and did not run (run delay)."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int((_PROC / str(pid) / "schedstat").read_text().split()[1]) / 1e9
    return 0.0


def thread_ids(pids: Iterable[int]) -> list[int]:
    """Return the ids of the threads of processes; `run_delay_seconds` takes one as it takes a process'."""
    ids: list[int] = []
    for pid in pids:
        with contextlib.suppress(OSError):
            ids += [int(task.name) for task in (_PROC / str(pid) / "task").iterdir()]
    return ids


def send_signal(signum: signal.Signals, pids: Iterable[int]) -> None:
    """Signal processes; one that has ended is skipped."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def running_in(home: Path, name: str = "") -> list[psutil.Process]:
    """Return the processes that work in a home or name it in their command line, zombies left out.

    Only those whose own name contains `name`.
    """
    processes = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or name not in process.name():
                continue
            places = [process.cwd(), *process.cmdline(), process.environ().get("FREIGHT_HOME", "")]
        except psutil.Error:
            continue
        if any(word == str(home) or word.startswith(f"{home}/") for word in places):
            processes.append(process)
    return processes


def kill_running_in(home: Path, name: str = "") -> None:
    """Kill the processes of a home whose name contains `name`; there must be one."""
    processes = running_in(home, name)
    assert processes
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
