"""The check of indexes: silent on a migrated database, and one warning for each that differs."""

from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from monitoring.queries.index_drift import check_indexes
from tests.drills.harness.environment import database_url

pytestmark = pytest.mark.django_db


def _warnings() -> list[str]:
    return [message.msg for message in check_indexes(databases=["default"])]


def test_a_migrated_database_has_the_indexes_of_the_models() -> None:
    assert _warnings() == []


def test_without_a_database_nothing_is_asked() -> None:
    assert check_indexes(databases=None) == []


def test_each_difference_is_a_warning() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX by_hand ON shipments_shipment (notes)")
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'shipments_membership' AND indexdef LIKE %s",
            ["%(organization_id)%"],
        )
        cursor.execute(f'DROP INDEX "{cursor.fetchone()[0]}"')

    assert _warnings() == [
        "The index on (organization_id) of shipments_membership is missing.",
        "The index by_hand on shipments_shipment is in no migration.",
    ]


def test_the_command_names_it() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX by_hand ON shipments_shipment (notes)")
    err = StringIO()

    call_command("check", databases=["default"], stderr=err)

    assert "(monitoring.W002) The index by_hand on shipments_shipment is in no migration." in err.getvalue()


def test_an_index_whose_build_broke_off_is_named(committed: None) -> None:
    with psycopg.connect(database_url(), autocommit=True) as session:
        session.execute("CREATE TABLE broken_off AS SELECT 1 AS n FROM generate_series(1, 2)")
        try:
            with pytest.raises(psycopg.errors.UniqueViolation):
                session.execute("CREATE UNIQUE INDEX CONCURRENTLY broken_off_n ON broken_off (n)")

            warnings = _warnings()
        finally:
            session.execute("DROP TABLE broken_off")

    assert warnings == [
        "The index broken_off_n on broken_off is invalid: writes keep it up to date and no query uses it."
    ]
