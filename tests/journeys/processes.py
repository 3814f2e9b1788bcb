"""What journeys need to know of processes: who lives, and who belongs to a folder."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import psutil


def of(home: Path) -> list[psutil.Process]:
    """The processes that work in the home or name it in their command line, zombies left out."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            words = [process.cwd(), *process.cmdline(), process.environ().get("FREIGHT_HOME", "")]
        except psutil.Error:
            continue
        if any(word == str(home) or word.startswith(f"{home}/") for word in words):
            found.append(process)
    return found


def kill(home: Path, name: str = "") -> None:
    """Ends at once those of a home whose name has that in it; one that goes by itself meanwhile is as dead."""
    found = [process for process in of(home) if name in process.name()]
    assert found
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def within(seconds: float, done: Callable[[], bool]) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
