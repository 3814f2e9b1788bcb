"""One fault stage for all scenarios of a worker; each has shipments, writers and clients of its own."""

from collections.abc import Callable, Iterator

import pytest

from tests.drills.checks.evidence import Evidence
from tests.drills.harness.presets import fault_stage
from tests.drills.harness.product_stage import ProductStage
from tests.drills.scenarios import runner
from tests.drills.scenarios.scale import SHORT

SEED = 4


@pytest.fixture(scope="session")
def stage() -> Iterator[ProductStage]:
    """Start PostgreSQL, Valkey, two `api` and two `ws` Daphnes, a relay and nginx, all private."""
    with fault_stage() as running:
        yield running


@pytest.fixture
def holds(stage: ProductStage) -> Callable[[str], Evidence]:
    """Return a function that runs a scenario at the short scale and asserts that every promise held."""

    def run_and_check(name: str) -> Evidence:
        evidence = runner.run_scenario(stage, name, SHORT, SEED)
        print(evidence)
        assert evidence.holds, f"{evidence}\n{stage.log_tails()}"
        assert evidence.deliveries > 0
        return evidence

    return run_and_check
