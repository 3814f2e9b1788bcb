"""The table of troubles: each has a first sign and a test, each alert of the rules a row, and no other is named.

That the named tests exist is held by test_faults_and_abuse.py, for all documents.
"""

import re

import pytest

from tests.architecture.test_layout import ROOT
from tests.drills.alerts.prometheus import alert_names

COLUMNS = ("trouble", "first sign", "alert", "where to look", "mend", "test")


def rows() -> list[list[str]]:
    lines = (ROOT / "docs/runbooks/troubles.md").read_text().splitlines()
    table = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| ")]
    assert table[0] == list(COLUMNS)
    return table[1:]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_trouble_has_a_first_sign_and_a_test(row: list[str]) -> None:
    assert len(row) == len(COLUMNS)
    assert all(cell not in {"", "–", "-"} for cell in row)
    assert not row[1].lower().startswith("none")
    assert "`tests/" in row[5]


def test_every_alert_has_a_row_and_no_other_is_named() -> None:
    named = {name for row in rows() for name in re.findall(r"`([A-Z][A-Za-z]+)`", row[2])}

    assert named == alert_names()
