"""Organisations take turns at two real relays: whoever orders last does not wait for another's backlog."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest

from exports.models import Export
from shipments.auth.subjects import Subject
from tests import factories
from tests.drills.harness.presets import journey_stage
from tests.drills.harness.process import Role, relay
from tests.drills.harness.product_stage import ProductStage
from tests.drills.harness.waiting import comes_true
from tests.exports.export_job_client import create_export_job

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
# A PDF is drawn for some tenths of a second. A user may have two orders at once.
BUSY_USERS: Final = 7
ORDERS_PER_USER: Final = 2


@pytest.fixture
def stage(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProductStage]:
    with django_db_blocker.unblock():
        stage = journey_stage(tmp_path_factory.mktemp("queue"), [relay(), Role("relay-2", "relay")])
    with stage:
        yield stage


def _order_pdf(by: Subject) -> Export:
    return create_export_job(by, file_format="pdf")


def test_an_order_does_not_wait_for_another_organisations_backlog(stage: ProductStage) -> None:
    busy, patient = factories.organization(), factories.organization()
    users = [factories.member(busy, "dispatcher") for _ in range(BUSY_USERS)]
    only = factories.member(patient, "dispatcher")
    for user in (users[0], only):
        factories.booked_shipment(user)

    backlog = [_order_pdf(user) for user in users for _ in range(ORDERS_PER_USER)]
    last = _order_pdf(only)
    assert comes_true(60, lambda: Export.objects.get(pk=last.pk).state == "succeeded"), stage.log_tails()
    states = Counter(Export.objects.filter(pk__in=[each.pk for each in backlog]).values_list("state", flat=True))

    assert states["queued"] > len(backlog) // 2, states
    assert comes_true(
        120, lambda: not Export.objects.filter(organization_id=busy.pk).exclude(state="succeeded").exists()
    ), stage.log_tails()
