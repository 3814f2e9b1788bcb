"""Relays that are killed in the midst of an import: real ones, at random moments."""

import pytest

from tests.drills import imports
from tests.drills.harness.daphnes import database_url

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed", "folder")]


def test_whoever_is_killed_every_row_takes_effect_once() -> None:
    evidence = imports.run(kills=1, rows=5_000, seed=7, environment={"DATABASE_URL": database_url()})

    assert evidence.holds, evidence
    assert (evidence.wrong, evidence.untold, evidence.kept) == (0, 0, 0), evidence
    assert evidence.attempts > evidence.struck == 1, evidence
