"""The audit chain proves itself: whatever is changed afterwards shows."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from shipments.models import AuditLink, UnlinkedEntry
from shipments.services.feed import audit_chain
from tests import factories

pytestmark = pytest.mark.django_db


def linked() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    for _ in range(5):
        factories.booked_shipment(by)
    settle()
    while UnlinkedEntry.objects.exists():
        audit_chain.link_batch()


def settle() -> None:
    """Makes the deferred checks of this transaction now: a table with checks outstanding cannot be altered."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def proof() -> tuple[int, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_audit", stdout=out, stderr=err)
    except SystemExit as ended:
        return int(str(ended.code)), err.getvalue()
    return 0, out.getvalue()


def tamper(sql: str) -> None:
    """What somebody with the table's owner's rights could do: silence the guards and write."""
    settle()
    with connection.cursor() as cursor:
        for table in ("shipments_auditentry", "shipments_auditlink"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(sql)


def test_an_untouched_audit_holds() -> None:
    linked()

    status, output = proof()

    assert status == 0
    assert "none broken" in output


def test_every_entry_is_linked_once_and_numbered_without_a_gap() -> None:
    linked()

    assert list(AuditLink.objects.order_by("n").values_list("n", flat=True)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE shipments_auditentry SET actor_name = 'nobody' WHERE id = {third}", "link 3"),
        ("""UPDATE shipments_auditentry SET after = '{{"status": "lost"}}' WHERE id = {third}""", "link 3"),
        ("UPDATE shipments_auditlink SET hash = sha256('x') WHERE n = 2", "link 2"),
        ("DELETE FROM shipments_auditlink WHERE n = 4", "link 4"),
        ("DELETE FROM shipments_auditlink WHERE n = 5", "outside the chain"),
    ],
)
def test_the_first_broken_link_is_named(sql: str, told: str) -> None:
    linked()
    third = AuditLink.objects.get(n=3).entry_id

    tamper(sql.format(third=f"'{third}'"))

    status, output = proof()
    assert status == 1
    assert told in output


def test_what_waits_for_its_link_is_not_broken() -> None:
    linked()
    factories.booked_shipment(factories.member(factories.organization(), "dispatcher"))

    assert proof()[0] == 0
