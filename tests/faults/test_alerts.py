"""Alerts fire for real faults of a real product, and go away with them."""

import pytest

from freight.drills.alerts import run
from freight.drills.alerts.faults import FAULTS
from freight.drills.alerts.prometheus import alerts, shortened
from freight.drills.delivery.stage import Stage

pytestmark = [pytest.mark.journey]


def test_faults_set_off_their_alerts_and_their_end_clears_them(stage: Stage) -> None:
    found = run.play(stage, quick=True)

    assert [sentence for evidence in found for sentence in evidence.broken] == [], stage.tails()
    assert {name for evidence in found for name in evidence.cleared} >= {
        "AvailabilityBurns", "AvailabilityBurnsFast", "AvailabilityBurnsSlowly", "DatabaseDown", "HighErrorRate",
        "HighMemoryUsage", "HintsFail", "MemoryAboveBudget", "RedisDown", "SlowDeliveries",
    }  # fmt: skip


def test_each_alert_is_caused_by_the_drill() -> None:
    assert {name for fault in FAULTS for name in fault.alerts} == alerts()


def test_only_windows_are_shortened() -> None:
    assert shortened('sum(rate(a_total[5m])) / b{c=~"5.."} > 0.1') == 'sum(rate(a_total[6s])) / b{c=~"5.."} > 0.1'
    assert shortened("increase(a_total[10m]) > 9 and x_rate1d > 3") == "increase(a_total[6s]) > 9 and x_rate1d > 3"
    assert shortened("rate(a_total[6h])") == "rate(a_total[12s])"
