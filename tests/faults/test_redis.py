"""Redis carries hints: killed, down, frozen, emptied or full, nothing is missed and nobody waits for it."""

from collections.abc import Callable

import pytest

from freight.drills.delivery.evidence import Evidence

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("faults")]
Play = Callable[[str], Evidence]


def test_nothing_is_missed_while_redis_is_killed_again_and_again(play: Play) -> None:
    evidence = play("redis-killed")

    assert evidence.ok > 50
    assert evidence.holds, evidence


def test_nothing_is_missed_without_redis(play: Play) -> None:
    evidence = play("redis-down")

    assert evidence.ok > 20
    assert evidence.holds, evidence


def test_nothing_is_missed_while_redis_is_frozen(play: Play) -> None:
    evidence = play("redis-frozen")

    assert evidence.ok > 20
    assert evidence.holds, evidence


def test_nothing_is_missed_while_redis_is_flushed_full_and_cut_off(play: Play) -> None:
    evidence = play("redis-troubled")

    assert evidence.ok > 20
    assert evidence.holds, evidence
