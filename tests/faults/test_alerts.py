"""Alerts fire for real faults of a real product, and clear with them."""

import pytest

from tests.drills.alerts import runner
from tests.drills.alerts.faults import FAULTS
from tests.drills.alerts.prometheus import alert_names, shorten_windows
from tests.drills.harness.product_stage import ProductStage

pytestmark = [pytest.mark.journey]


def test_faults_set_off_their_alerts_and_their_end_clears_them(stage: ProductStage) -> None:
    results = runner.run_faults(stage, quick=True)

    assert [sentence for evidence in results for sentence in evidence.broken] == [], stage.log_tails()
    assert {name for evidence in results for name in evidence.cleared} >= {
        "AvailabilityBurns", "AvailabilityBurnsFast", "AvailabilityBurnsSlowly", "ClockSkew", "DatabaseDown",
        "HighErrorRate", "HighMemoryUsage", "HintsFail", "JobsWaitLong", "MemoryAboveBudget", "ProcessCrashes",
        "ProcessHung", "ProcessMissing", "QueueNotWorked", "RedisDown", "RelayDown", "RelayLags", "SlowDeliveries",
    }  # fmt: skip


def test_each_alert_is_caused_by_the_drill() -> None:
    assert {name for fault in FAULTS for name in fault.alerts} == alert_names()


def test_only_windows_are_shortened() -> None:
    assert (
        shorten_windows('sum(rate(a_total[5m])) / b{c=~"5.."} > 0.1')
        == 'sum(rate(a_total[6s])) / b{c=~"5.."} > 0.1'
    )
    assert (
        shorten_windows("increase(a_total[10m]) > 9 and x_rate1d > 3")
        == "increase(a_total[6s]) > 9 and x_rate1d > 3"
    )
    assert shorten_windows("rate(a_total[6h])") == "rate(a_total[12s])"
