"""Sums, groups and quantiles of samples."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitoring.prometheus.samples import SampleKey, SampleSet

SCRAPED = """
# TYPE things_total counter
things_total{kind="a",colour="red"} 3
things_total{kind="a",colour="blue"} 4
things_total{kind="b",colour="red"} 5
# TYPE thing_seconds histogram
thing_seconds_bucket{le="1.0"} 2
thing_seconds_bucket{le="2.0"} 3
thing_seconds_bucket{le="4.0"} 4
thing_seconds_bucket{le="+Inf"} 4
thing_seconds_count 4
thing_seconds_sum 5.5
"""


@pytest.fixture
def samples() -> SampleSet:
    return SampleSet.from_families(text_string_to_metric_families(SCRAPED))


def test_totals_are_of_the_samples_with_the_labels(samples: SampleSet) -> None:
    assert samples.total("things_total") == 12
    assert samples.total("things_total", kind="a") == 7
    assert samples.total("things_total", kind="a", colour="blue") == 4
    assert samples.total("things_total", kind="c") == 0
    assert samples.total_by("colour", "things_total") == {"red": 8, "blue": 4}


def test_quantiles_are_interpolated_between_bounds(samples: SampleSet) -> None:
    assert samples.quantile("thing_seconds", 0.25) == 0.5
    assert samples.quantile("thing_seconds", 0.5) == 1.0
    assert samples.quantile("thing_seconds", 1.0) == 4.0
    assert samples.mean("thing_seconds") == 1.375
    assert SampleSet().quantile("thing_seconds", 0.5) == 0.0
    assert SampleSet().mean("thing_seconds") == 0.0


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    bounds: dict[SampleKey, float] = {
        ("thing_seconds_bucket", (("le", bound),)): count for bound, count in (("1.0", 0.0), ("+Inf", 1.0))
    }

    assert SampleSet(bounds).quantile("thing_seconds", 0.95) == 1.0


def test_a_set_survives_json(samples: SampleSet) -> None:
    assert SampleSet.from_json(samples.to_json()) == samples


def test_growth_is_never_negative(samples: SampleSet) -> None:
    key = ("things_total", (("colour", "red"), ("kind", "a")))

    assert samples.growth_since(SampleSet({key: 1.0}), seconds=5).total("things_total", kind="a", colour="red") == 2
    assert samples.growth_since(SampleSet({key: 9.0}), seconds=5).total("things_total", kind="a", colour="red") == 0
    assert samples.plus(samples).total("things_total") == 24
