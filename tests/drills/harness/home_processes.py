"""What journeys need to know of processes: who lives, and who belongs to a folder."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import psutil


def running_in(home: Path) -> list[psutil.Process]:
    """The processes that work in the home or name it in their command line, zombies left out."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            places = [process.cwd(), *process.cmdline(), process.environ().get("FREIGHT_HOME", "")]
        except psutil.Error:
            continue
        if any(word == str(home) or word.startswith(f"{home}/") for word in places):
            processes.append(process)
    return processes


def kill_running_in(home: Path, name: str = "") -> None:
    """Ends at once those of a home whose name has that in it; one that goes by itself meanwhile is as dead."""
    processes = [process for process in running_in(home) if name in process.name()]
    assert processes
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def comes_true(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
