"""Pytest plugin: a test that measures time has the machine for itself.

A test marked `quiet_machine` starts once the other workers' tests have ended, and theirs start after it. Everybody
passes the turnstile first, so that no stream of short tests keeps a marked one waiting.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "quiet_machine: measures time; no other worker runs a test meanwhile")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run the test with the machine shared, or for itself."""
    config = item.config
    if not hasattr(config, "workerinput") or config.inipath is None:  # there are no other workers
        return (yield)
    # Whatever can be opened can be locked: nothing to make, nothing to remove.
    turnstile, machine = config.rootpath, config.inipath
    mode = fcntl.LOCK_EX if item.get_closest_marker("quiet_machine") else fcntl.LOCK_SH
    with contextlib.ExitStack() as stack:
        with _locked(turnstile, fcntl.LOCK_EX):
            stack.enter_context(_locked(machine, mode))
        return (yield)


@contextlib.contextmanager
def _locked(path: Path, mode: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, mode)
        yield
    finally:
        # Not by closing alone: a forked child would keep the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
