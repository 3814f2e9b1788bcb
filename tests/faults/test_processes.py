"""Processes die at the worst moments: what was committed is delivered, what was not leaves no trace."""

from collections.abc import Callable

import pytest

from tests.drills.checks.evidence import Evidence

pytestmark = [pytest.mark.journey]
Holds = Callable[[str], Evidence]


def test_clients_of_a_killed_daphne_are_whole_again(holds: Holds) -> None:
    assert "whole again" in holds("sockets-killed").figures


def test_an_event_whose_hint_died_with_its_process_arrives(holds: Holds) -> None:
    assert holds("killed-after-commit").figures["as promised"] == "5 of 5"


def test_a_write_that_died_before_its_commit_leaves_nothing(holds: Holds) -> None:
    assert holds("killed-before-commit").figures["as promised"] == "5 of 5"


def test_processes_of_one_role_that_hang_are_answered_for_by_the_other(holds: Holds) -> None:
    assert holds("api-frozen").figures["requests"] > 200
    holds("ws-frozen")


def test_the_feed_is_whole_whenever_its_relay_dies(holds: Holds) -> None:
    assert holds("relay-killed").ok > 20


def test_a_rolling_restart_shows_nobody_an_error(holds: Holds) -> None:
    assert set(holds("rolling-restart").figures["sockets closed with"]) == {4503}
