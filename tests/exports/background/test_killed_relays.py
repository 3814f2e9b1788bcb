"""Background exports while real relays are killed at random moments."""

from pathlib import Path

import pytest

from tests.drills import exports
from tests.drills.harness.environment import database_url

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed", "export_dir")]


def test_after_kills_every_file_is_complete_and_no_partial_one_is_served(export_dir: Path) -> None:
    environment = {"DATABASE_URL": database_url(), "EXPORT_DIR": str(export_dir)}

    evidence = exports.run(kills=5, rows=12_000, menu=exports.STREAMED, seed=11, environment=environment)

    assert evidence.holds, evidence
    assert (evidence.wrong, evidence.cut, evidence.unfinished) == (0, 0, 0)
    assert evidence.attempts >= evidence.finished + evidence.struck >= 8, evidence
    assert list(export_dir.iterdir()) == [] or evidence.left_over, evidence


def test_of_what_is_waited_for_in_vain_the_evidence_says_what(
    export_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "SETTLE_SECONDS", 0.0)
    environment = {"DATABASE_URL": database_url(), "EXPORT_DIR": str(export_dir)}

    evidence = exports.run(kills=1, rows=10, menu=exports.STREAMED, seed=11, environment=environment)

    assert (evidence.holds, evidence.struck) == (False, 0)
    assert evidence.ended_by.startswith("The condition did not hold within 0 s. No export began to run")
