"""Relays that are killed in the midst of background exports: real ones, at random moments."""

from pathlib import Path

import pytest

from tests.drills import exports
from tests.drills.harness.daphnes import database_url

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed", "folder")]


def test_whoever_is_killed_every_file_is_whole_and_none_else_is_served(folder: Path) -> None:
    environment = {"DATABASE_URL": database_url(), "EXPORT_DIR": str(folder)}

    evidence = exports.run(kills=5, rows=12_000, menu=exports.STREAMED, seed=11, environment=environment)

    assert evidence.holds, evidence
    assert (evidence.wrong, evidence.cut, evidence.unfinished) == (0, 0, 0)
    assert evidence.attempts >= evidence.finished + evidence.struck >= 8, evidence
    assert list(folder.iterdir()) == [] or evidence.left_over, evidence
