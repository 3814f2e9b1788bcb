"""Pytest plugin: which tests share a worker where several run at a time.

Whatever shares servers, a stage of faults or a browser stays together, and what takes minutes begins first: begun
last, it would run alone in the end. (pytest-xdist's `xdist_group` does not work with pytest 9.2, which no longer
lets a node's id be changed.)
"""

from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

# The beginning of a path and its group, the longest-lasting first; every other file is a group of its own.
GROUPS: Final = (
    ("tests/faults/", "faults"),
    ("tests/journeys/test_operations", "operations"),
    ("tests/journeys/test_up", "up"),
    ("tests/journeys/test_embedded", "up"),
    ("tests/journeys/", "journeys"),
    ("tests/ratelimits/test_daphnes", "limits"),
    ("tests/ratelimits/test_sockets", "limits"),
    ("tests/browser/", "browser"),
)


def group_of(path: str) -> str:
    """This will return the group of a file, or of a node's id."""
    return next((group for start, group in GROUPS if path.startswith(start)), path.partition("::")[0])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """This will put the long groups first, and leave the rest in the order that chance has given it."""
    order = list(dict.fromkeys(group for _, group in GROUPS))
    items.sort(key=lambda item: order.index(group) if (group := group_of(item.nodeid)) in order else len(order))


class _Grouped(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Grouped:
    """This will hand whole groups to the workers."""
    return _Grouped(config, log)
