"""Shipments that are under way already: since when, as their events tell.

No event is written, so the guards of `seq` are disabled in each transaction. Those are short: a writer waits for the
table for less than its `lock_timeout`.
"""

from typing import Any

from django.db import migrations, transaction

# `lifecycle.UNDERWAY` when this migration was written.
UNDERWAY = [
    "in_transit", "at_facility", "out_for_delivery", "at_delivery", "delivery_attempted", "partially_delivered",
    "returning",
]  # fmt: skip
BATCH = 2_000
SELECT = """
SELECT id FROM shipments_shipment
WHERE status = ANY(%s) AND driver_id IS NOT NULL AND deleted_at IS NULL AND underway_since IS NULL
ORDER BY id
"""
# The event after the newest one that left it in another state; or the newest one that assigned a driver.
UPDATE = """
UPDATE shipments_shipment shipment
SET underway_since = GREATEST(
    (SELECT min(event.recorded_at) FROM shipments_shipmentevent event
     WHERE event.shipment_id = shipment.id AND event.seq > COALESCE(
         (SELECT max(other.seq) FROM shipments_shipmentevent other
          WHERE other.shipment_id = shipment.id AND other.status <> ALL(%s)), 0)),
    (SELECT max(event.recorded_at) FROM shipments_shipmentevent event
     WHERE event.shipment_id = shipment.id AND event.data -> 'changes' ? 'driver'))
WHERE id = ANY(%s) AND status = ANY(%s) AND driver_id IS NOT NULL AND underway_since IS NULL
"""
GUARDS = ("shipment_seq", "shipment_has_event")


def fill(apps: Any, schema_editor: Any) -> None:
    """Fill the column in batches, each in a transaction of its own; what is filled already stays."""
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        cursor.execute(SELECT, [UNDERWAY])
        ids = [identifier for (identifier,) in cursor.fetchall()]
        for first in range(0, len(ids), BATCH):
            with transaction.atomic(using=connection.alias):
                for guard in GUARDS:
                    cursor.execute(f"ALTER TABLE shipments_shipment DISABLE TRIGGER {guard}")
                cursor.execute(UPDATE, [UNDERWAY, ids[first : first + BATCH], UNDERWAY])
                for guard in GUARDS:
                    cursor.execute(f"ALTER TABLE shipments_shipment ENABLE TRIGGER {guard}")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shipments", "0015_shipment_underway_since")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
