"""PostgreSQL fails and recovers: an acknowledged write exists once, an unknown outcome is resolved by its key."""

from collections.abc import Callable

import pytest

from tests.drills.checks.evidence import Evidence

pytestmark = [pytest.mark.journey]
Holds = Callable[[str], Evidence]


def test_nothing_acknowledged_is_lost_by_a_crash_of_the_database(holds: Holds) -> None:
    assert holds("postgres-restarted").ok > 20


def test_a_frozen_database_hangs_nobody(holds: Holds) -> None:
    assert holds("postgres-frozen").ok > 20


def test_too_few_connections_are_survived(holds: Holds) -> None:
    assert holds("postgres-crowded").ok > 20


def test_forty_writers_that_cross_each_other_are_all_served(holds: Holds) -> None:
    assert holds("writers-cross").figures["deadlocks"] == 0


def test_a_commit_that_nobody_knows_the_end_of_has_one_effect(holds: Holds) -> None:
    assert holds("commit-unknown").figures["said unknown and resolved by the key"] == "10 of 10"
