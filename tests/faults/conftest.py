"""One stage for all rows of a worker; each row has shipments, writers and clients of its own."""

from collections.abc import Callable, Iterator

import pytest

from freight.drills.delivery import run
from freight.drills.delivery.evidence import Evidence
from freight.drills.delivery.scale import SHORT
from freight.drills.delivery.stage import Stage, raised

SEED = 4


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """PostgreSQL, Valkey, two `api` and two `ws` Daphnes, a relay and nginx, all private."""
    with raised() as made:
        yield made


@pytest.fixture
def holds(stage: Stage) -> Callable[[str], Evidence]:
    """Plays a row in its short form and asserts that every promise held."""

    def played(name: str) -> Evidence:
        evidence = run.play(stage, name, SHORT, SEED)
        print(evidence)
        assert evidence.holds, f"{evidence}\n{stage.tails()}"
        assert evidence.deliveries > 0
        return evidence

    return played
