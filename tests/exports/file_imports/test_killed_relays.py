"""Imports while real relays are killed at random moments."""

import pytest

from tests.drills import imports
from tests.drills.harness.environment import database_url

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed", "export_dir")]


def test_after_kills_every_row_is_applied_once() -> None:
    evidence = imports.run(kills=1, rows=5_000, seed=7, environment={"DATABASE_URL": database_url()})

    assert evidence.holds, evidence
    assert (evidence.wrong, evidence.untold, evidence.kept) == (0, 0, 0), evidence
    assert evidence.attempts > evidence.struck == 1, evidence
