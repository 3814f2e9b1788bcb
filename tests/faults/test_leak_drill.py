"""The leak drill finds a planted leak, names the kind of operation, and finds none where there is none."""

import sys

import pytest

from tests.drills import leak
from tests.drills.harness.environment import database_url
from tests.drills.leak import LeakScale

pytestmark = pytest.mark.journey
SHORT = LeakScale(rounds=6, requests=160, sockets=40)


def test_a_planted_leak_is_found_and_named(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url())
    evidence = leak.run(scale=SHORT, command=(sys.executable, "-m", "tests.faults.leaking_manage", "requests"))

    assert [(each.kind, each.holds) for each in evidence] == [("requests", False), ("sockets", True)], evidence
    assert 8 * 1024 < evidence[0].bytes_each < 40 * 1024


@pytest.mark.parametrize(
    ("values", "slope"), [([1, 2, 3, 4], 1), ([5, 5, 5, 5], 0), ([1, 2, 300, 4, 5], 1), ([4, 3, 2], -1)]
)
def test_a_jump_bends_no_slope(values: list[float], slope: float) -> None:
    assert leak._slope(values) == slope
