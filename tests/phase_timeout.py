"""Pytest plugin: a test that hangs fails with its name, and the rest of the run goes on.

Each phase (setup, call, teardown) has a timeout of its own. What a signal cannot interrupt ends with the worker
(`faulthandler_timeout` in pyproject.toml).
"""

import asyncio
import faulthandler
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final

import pytest

PHASE_SECONDS: Final = 240


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that sets another timeout."""
    config.addinivalue_line("markers", "phase_seconds(seconds): the timeout of each phase of this test")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    return (yield from _with_timeout(item, "setup"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    return (yield from _with_timeout(item, "call"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    return (yield from _with_timeout(item, "teardown"))


def _with_timeout(item: pytest.Item, phase: str) -> Iterator[None]:
    marker = item.get_closest_marker("phase_seconds")
    seconds = marker.args[0] if marker else PHASE_SECONDS

    def fail_test(_signal: int, _frame: FrameType | None) -> None:
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback(sys.__stderr__)
        _show_tasks()
        pytest.fail(f"{item.nodeid}: its {phase} did not end within {seconds} s")

    previous_handler = signal.signal(signal.SIGALRM, fail_test)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous_handler)


def _show_tasks() -> None:
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # no loop runs in this thread
        return
    for task in tasks:
        task.print_stack(limit=6, file=sys.__stderr__)
