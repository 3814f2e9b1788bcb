"""Redis carries hints: killed, down, frozen, flushed or full, no event is missed and no request waits for it."""

from collections.abc import Callable

import pytest

from tests.drills.checks.evidence import Evidence

pytestmark = [pytest.mark.journey]
Holds = Callable[[str], Evidence]


def test_nothing_is_missed_while_redis_is_killed_again_and_again(holds: Holds) -> None:
    assert holds("redis-killed").ok > 20


def test_nothing_is_missed_without_redis(holds: Holds) -> None:
    assert holds("redis-down").ok > 20


@pytest.mark.quiet_machine
def test_nothing_is_missed_while_redis_is_frozen(holds: Holds) -> None:
    assert holds("redis-frozen").ok > 20


def test_nothing_is_missed_while_redis_is_flushed_full_and_cut_off(holds: Holds) -> None:
    assert holds("redis-troubled").ok > 20
