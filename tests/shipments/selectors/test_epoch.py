"""The epoch is one text for one history, and another one for each other history that PostgreSQL can show."""

import uuid

import pytest
from django.db import connection, transaction

from shipments.models import Generation
from shipments.selectors import async_reads, epoch

pytestmark = pytest.mark.django_db
_HIDE_SERVER = """
CREATE FUNCTION hidden.pg_control_system(OUT system_identifier bigint) LANGUAGE plpgsql AS
    $$ BEGIN RAISE insufficient_privilege; END $$;
CREATE FUNCTION hidden.pg_current_wal_lsn() RETURNS pg_lsn LANGUAGE plpgsql AS
    $$ BEGIN RAISE feature_not_supported; END $$;
"""


def use_schema(statements: str) -> None:
    """Create objects in a schema that is searched before all others, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA hidden; {statements}; SET LOCAL search_path = hidden, pg_catalog, public")


def test_the_epoch_is_short_and_fits_a_cursor() -> None:
    assert epoch.read() == epoch.read()
    assert len(epoch.read()) == 20
    assert epoch.read().isalnum()


@pytest.mark.usefixtures("committed")
async def test_threads_and_event_loops_read_the_same_text() -> None:
    assert await async_reads.current_epoch() == (await async_reads.fetch_heads([]))[0]


def test_another_generation_is_another_epoch() -> None:
    before = epoch.read()

    Generation.objects.update(value=uuid.uuid4())

    assert epoch.read() != before


def test_an_event_table_that_was_made_anew_is_another_epoch() -> None:
    before = epoch.read()

    use_schema("CREATE TABLE hidden.shipments_shipmentevent ()")

    assert epoch.read() != before


def test_a_lost_row_of_the_generation_does_not_end_the_epoch() -> None:
    Generation.objects.all().delete()

    assert len(epoch.read()) == 20


def test_where_a_managed_service_hides_its_server_the_rest_stands_alone() -> None:
    use_schema(_HIDE_SERVER)

    before = epoch.read()
    Generation.objects.update(value=uuid.uuid4())

    assert len(before) == 20
    assert epoch.read() not in {before, ""}


@pytest.mark.usefixtures("committed")
def test_an_epoch_of_a_transaction_is_not_for_others() -> None:
    before = epoch.read()

    with transaction.atomic():
        Generation.objects.update(value=uuid.uuid4())
        inside = epoch.read()
        transaction.set_rollback(True)

    assert inside != before
    assert epoch.current() == before
