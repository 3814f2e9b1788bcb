"""Relays killed and tables locked at the steps of an export's and an import's life: every accepted order ends."""

from pathlib import Path

import pytest

from tests.drills import orders
from tests.drills.harness.environment import database_url

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed", "export_dir")]


def test_every_accepted_order_ends(export_dir: Path) -> None:
    environment = {"DATABASE_URL": database_url(), "EXPORT_DIR": str(export_dir)}

    evidence = orders.run(orders.quick_rows(), environment=environment)

    assert [each for each in evidence if not each.holds] == []
