"""Pytest plugin: in which order tests run, and which share a worker where several run at a time.

First come those that need an empty database and leave it so; then what shares servers, a stage of faults or a
browser, which stays together, the longest first; then the rest. (pytest-xdist's own `xdist_group` does not work
with pytest 9.2, which no longer lets a node's id be changed.)
"""

from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

# The beginning of a path and its group, the longest-lasting first.
GROUPS: Final = (
    ("tests/faults/", "faults"),
    ("tests/journeys/operations/test_operations", "operations"),
    ("tests/journeys/operations/test_up", "up"),
    ("tests/journeys/operations/test_embedded", "up"),
    ("tests/journeys/", "journeys"),
    ("tests/ratelimits/test_two_servers", "limits"),
    ("tests/ratelimits/test_sockets", "limits"),
    ("tests/browser/", "browser"),
)
# Here a file may hold tests of both kinds; elsewhere it stays together, for what it starts is started once.
_SPLIT_BY_TEST: Final = ("tests/shipments/", "tests/ratelimits/")


def group_of(path: str) -> str | None:
    """Return the group of a file, or of a node's id, None for none."""
    return next((group for start, group in GROUPS if path.startswith(start)), None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in order, and leave the order that chance has given those of one kind."""
    order = list(dict.fromkeys(group for _, group in GROUPS))

    def sort_key(item: pytest.Item) -> int:
        group = group_of(item.nodeid)
        if group:
            return 1 + order.index(group)
        leaves_rows = "committed" in getattr(item, "fixturenames", ())
        return 0 if item.get_closest_marker("django_db") and not leaves_rows else 1 + len(order)

    items.sort(key=sort_key)


class _GroupedScheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        split_by_test = nodeid.startswith(_SPLIT_BY_TEST)
        return group_of(nodeid) or (nodeid if split_by_test else nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _GroupedScheduling:
    """Hand whole groups to the workers."""
    return _GroupedScheduling(config, log)
