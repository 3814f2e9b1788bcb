"""Pytest plugin: the order of the tests, and which ones share a worker of pytest-xdist.

First come those that need an empty database and leave it empty; then those that share servers, a fault stage or a
browser, group by group, the longest group first; then the rest. (`xdist_group` of pytest-xdist does not work with
pytest 9.2, which no longer lets a plugin change a node's id.)
"""

from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

# The prefix of a path and its group, the longest group first.
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
# Here the tests of a file may run apart; elsewhere a file stays together, so that its fixtures start once.
_SPLIT_BY_TEST: Final = ("tests/shipments/", "tests/ratelimits/")


def group_of(path: str) -> str | None:
    """Return the group of a file, or of a node's id, None for none."""
    return next((group for start, group in GROUPS if path.startswith(start)), None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by kind, and keep the random order of those of one kind."""
    order = list(dict.fromkeys(group for _, group in GROUPS))

    def sort_key(item: pytest.Item) -> int:
        group = group_of(item.nodeid)
        if group:
            return 1 + order.index(group)
        leaves_rows = "committed" in getattr(item, "fixturenames", ())
        return 0 if item.get_closest_marker("django_db") and not leaves_rows else 1 + len(order)

    items.sort(key=sort_key)


class _GroupedScheduling(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    def _split_scope(self, nodeid: str) -> str:
        split_by_test = nodeid.startswith(_SPLIT_BY_TEST)
        return group_of(nodeid) or (nodeid if split_by_test else nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _GroupedScheduling:
    """Return a scheduler that hands whole groups to the workers."""
    return _GroupedScheduling(config, log)
