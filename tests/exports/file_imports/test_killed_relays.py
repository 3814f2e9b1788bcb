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


def test_of_what_is_waited_for_in_vain_the_evidence_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MAX_WAIT_SECONDS", 0.5)
    relay_elsewhere = {"DATABASE_URL": "postgresql:///freight?host=/nowhere"}

    evidence = imports.run(kills=1, rows=8, seed=7, environment=relay_elsewhere)

    assert (evidence.holds, evidence.state, evidence.struck) == (False, "queued", 0)
    assert evidence.ended_by == "The condition did not hold within 0.5 s. The import stands at row 0."
