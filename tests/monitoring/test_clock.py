"""The clock: compared with the database's, taken out of what is stored, and shown where it is wrong."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from health_check.exceptions import ServiceWarning

from monitoring import clock, metrics
from monitoring.dependencies.probes import Clock
from monitoring.health import details
from tests.drills.harness.environment import ROOT

# What takes a `now`, from which a service stores or judges.
_FOLDERS = ("shipments/api", "shipments/admin", "exports", "realtime", "freight/fast_path", "freight/pages")


@pytest.fixture(autouse=True)
def _fresh_clock() -> Iterator[None]:
    clock.reset()
    yield
    clock.reset()


def _observe(skew: float, *, round_trip: float = 0.002) -> None:
    before = time.time()
    clock.observe(before=before, database=before + round_trip / 2 - skew, after=before + round_trip)


@pytest.mark.parametrize("skew", [600.0, -600.0, 2.0])
def test_the_difference_is_taken_out(skew: float) -> None:
    _observe(skew)

    ahead = (timezone.now() - clock.now()).total_seconds()

    assert ahead == pytest.approx(skew, abs=0.2)


def test_noise_is_left_alone() -> None:
    _observe(0.8)

    assert abs(timezone.now() - clock.now()) < timedelta(seconds=0.2)
    assert clock.skew() == pytest.approx(0.8, abs=0.01)


def test_an_answer_that_took_long_says_nothing() -> None:
    _observe(600, round_trip=1.5)

    assert clock.skew() == 0


@pytest.mark.parametrize(
    ("skew", "words"),
    [(600.0, "is 600 s ahead of the database's clock"), (-42.0, "is 42 s behind the database's clock")],
)
def test_health_and_metrics_show_a_wrong_clock(skew: float, words: str) -> None:
    Clock().run()
    _observe(skew)

    with pytest.raises(ServiceWarning, match=words):
        Clock().run()

    samples = next(iter(metrics.clock_skew.collect())).samples
    assert skew in [pytest.approx(sample.value, abs=0.01) for sample in samples]
    assert details.clock_detail()["skewSeconds"] == pytest.approx(skew, abs=0.01)


@pytest.mark.django_db
def test_a_process_without_health_checks_compares_by_itself_and_not_too_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + 600)

    clock.refresh()
    first = clock.skew()
    monkeypatch.setattr(time, "time", wall)
    clock.refresh()

    assert first == clock.skew() == pytest.approx(600, abs=1)


def test_whatever_takes_a_now_takes_it_from_the_clock() -> None:
    users = [
        str(path.relative_to(ROOT))
        for folder in _FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if "timezone.now" in path.read_text() and "management" not in path.parts
    ]

    assert users == []
