"""After any acts in any order, REST and every client agree with the model."""

from collections.abc import Callable

import pytest

from tests.drills.checks.evidence import Evidence

pytestmark = [pytest.mark.journey]


def test_whatever_happens_in_whatever_order_the_world_equals_the_model(holds: Callable[[str], Evidence]) -> None:
    evidence = holds("interleaving")

    assert evidence.figures["steps"] > 100
