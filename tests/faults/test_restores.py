"""A restored database is another history: every door says so, whatever way it was restored."""

import pytest

from tests.drills.harness.product_stage import ProductStage
from tests.drills.restores import runner
from tests.drills.restores.backups import Backup, BaseBackup, Dump, Replica

pytestmark = [pytest.mark.journey]


@pytest.mark.parametrize(
    ("kind", "restart"), [(Dump, False), (Replica, False), (BaseBackup, False), (BaseBackup, True)]
)
def test_every_door_sends_a_snapshot_after_a_restore(
    stage: ProductStage, kind: type[Backup], restart: bool
) -> None:
    evidence = runner.restore(stage, kind, restart=restart)

    assert evidence.holds, f"{evidence}\n{stage.log_tails()}"
