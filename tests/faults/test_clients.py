"""Crowds of clients connect, stop reading, say nothing, vanish and churn: no event is missed and nothing leaks."""

from collections.abc import Callable

import pytest

from tests.drills.checks.evidence import Evidence

pytestmark = [pytest.mark.journey]
Holds = Callable[[str], Evidence]


def test_a_burst_reaches_a_whole_room(holds: Holds) -> None:
    assert holds("burst").deliveries == 200 * 60


@pytest.mark.quiet_machine
def test_readers_that_stop_are_cut_and_nobody_feels_them(holds: Holds) -> None:
    assert holds("readers-stop").figures["10 stopped"].startswith("10 cut")


def test_all_who_are_dropped_at_once_come_back_and_share_what_they_read(holds: Holds) -> None:
    assert "all back" in holds("dropped-at-once").figures


def test_sockets_that_come_and_go_leave_nothing_behind(holds: Holds) -> None:
    assert holds("churn").figures["memory of ws-1"]


def test_a_revoked_key_hears_nothing_more_without_redis(holds: Holds) -> None:
    assert "last event after the revocation" in holds("revoked-without-redis").figures


def test_a_bad_network_costs_time_and_nothing_else(holds: Holds) -> None:
    assert holds("network").figures["connections cut"] > 0


def test_hundreds_that_connect_and_say_nothing_cost_nobody_else_anything(holds: Holds) -> None:
    assert holds("silent-clients").figures["silent clients"] == 400


def test_paths_that_strangers_try_add_no_series_and_fill_no_log(holds: Holds) -> None:
    assert "memory" in holds("random-paths").figures
