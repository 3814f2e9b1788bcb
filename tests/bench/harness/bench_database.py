"""The data of benchmarks: real services, and a database of their own with many shipments."""

import os
import sys
from typing import Final

_NUMBER_FEED: Final = """
WITH heads AS (
    SELECT organization_id, max(position) AS position FROM shipments_feedentry GROUP BY organization_id
), numbered AS (
    INSERT INTO shipments_feedentry (event_id, organization_id, position)
    SELECT event_id, waiting.organization_id, COALESCE(heads.position, 0)
           + row_number() OVER (PARTITION BY waiting.organization_id ORDER BY event_id)
    FROM shipments_unnumberedevent waiting LEFT JOIN heads USING (organization_id)
)
DELETE FROM shipments_unnumberedevent
"""


def setup_django() -> None:
    """Start the services that no URL names, and set Django up."""
    os.environ["DEMO"] = "1"  # its limits let a benchmark through
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
    import tests.backing_services  # noqa: F401  starts the services and sets their variables

    import django  # isort: skip  after the variables are set

    django.setup()


def use_bench_database() -> None:
    """Use a database beside the real data, which the next run on the same server finds again."""
    from django.db import connection  # needs settings

    connection.settings_dict["TEST"]["NAME"] = f"bench_{connection.settings_dict['NAME']}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False, keepdb=True)


def load_shipments(shipments: int, *, events: float) -> None:
    """Load the demo with `shipments` shipments of `events` events each (mean), unless an earlier run did."""
    from django.core.management import call_command  # needs settings

    from shipments.demo import seed

    use_bench_database()
    present = seed.demo_shipment_count()
    if present is not None and present < shipments:
        raise SystemExit(f"The benchmark's database holds {present} shipments; drop it for {shipments}.")
    arguments = {} if present is not None else {"shipments": shipments, "events": events}
    call_command("seed_demo", **arguments, stdout=sys.stderr)


def number_feed_and_vacuum() -> None:
    """Do the relay's numbering of what was loaded, and the vacuum that would follow in the next minutes.

    One statement where the relay takes many batches: what is loaded is in order, and no relay runs here.
    """
    from django.db import connection  # needs settings

    with connection.cursor() as cursor:
        cursor.execute(_NUMBER_FEED)
        tables = ("shipment", "shipmentevent", "auditentry", "unnumberedevent", "feedentry")
        cursor.execute(f"VACUUM (ANALYZE) {', '.join(f'shipments_{table}' for table in tables)}")
    connection.close()
