"""The audit chain: any later change is found."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from shipments.models import AuditLink, UnlinkedEntry
from shipments.services.feed import audit_chain
from tests import factories

pytestmark = pytest.mark.django_db


def link_five_entries() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    for _ in range(5):
        factories.booked_shipment(by)
    check_deferred_constraints()
    while UnlinkedEntry.objects.exists():
        audit_chain.link_batch()


def check_deferred_constraints() -> None:
    """Check them now: a table with pending trigger events cannot be altered."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def verify_audit() -> tuple[int, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_audit", stdout=out, stderr=err)
    except SystemExit as error:
        return int(str(error.code)), err.getvalue()
    return 0, out.getvalue()


def tamper(sql: str) -> None:
    """Do what the owner of the tables could do: disable the triggers and write."""
    check_deferred_constraints()
    with connection.cursor() as cursor:
        for table in ("shipments_auditentry", "shipments_auditlink"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(sql)


def test_an_untouched_audit_holds() -> None:
    link_five_entries()

    status, output = verify_audit()

    report = json.loads(output)
    assert (status, report["holds"], report["broken"], report["links"] >= 5) == (0, True, [], True)


def test_the_verification_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    link_five_entries()
    monkeypatch.setattr(audit_chain, "BATCH", 2)
    steps: list[int] = []

    links = sum(result for result in audit_chain.verify(steps.append) if isinstance(result, int))

    assert sum(steps) == links
    assert steps.count(2) >= 2


def test_every_entry_is_linked_once_and_numbered_without_a_gap() -> None:
    link_five_entries()

    assert list(AuditLink.objects.order_by("n").values_list("n", flat=True)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE shipments_auditentry SET actor_name = 'nobody' WHERE id = {third}", "link 3"),
        ("""UPDATE shipments_auditentry SET after = '{{"status": "lost"}}' WHERE id = {third}""", "link 3"),
        ("UPDATE shipments_auditlink SET hash = sha256('x') WHERE n = 2", "link 2"),
        ("DELETE FROM shipments_auditlink WHERE n = 4", "link 4"),
        ("DELETE FROM shipments_auditlink WHERE n = 5", "outside the chain"),
    ],
)
def test_the_first_broken_link_is_named(sql: str, message: str) -> None:
    link_five_entries()
    third = AuditLink.objects.get(n=3).entry_id

    tamper(sql.format(third=f"'{third}'"))

    status, output = verify_audit()
    assert status == 1
    assert message in output


def test_an_entry_not_yet_linked_is_no_break() -> None:
    link_five_entries()
    factories.booked_shipment(factories.member(factories.organization(), "dispatcher"))

    assert verify_audit()[0] == 0
