"""A commit with many events of one shipment looks its row up once, not once an event.

The check of an event walks all versions of the row that the transaction has made, so a bulk of 1,000 changes of one
shipment spent seconds in COMMIT. An event that another follows needs no look: the one behind it is checked too, and
what that one does not run ahead of, this one does not either. The foreign key said the same once more, each time: a
shipment is never removed and keeps its id, which triggers hold too.
"""

import django.db.models.deletion
from django.db import migrations, models

GUARD = """
CREATE OR REPLACE FUNCTION freight_event_has_shipment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.shipment_id IS NULL OR EXISTS (
        SELECT FROM shipments_shipmentevent
        WHERE shipment_id = NEW.shipment_id AND seq = NEW.seq + 1 AND organization_id = NEW.organization_id
    ) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (
        SELECT FROM shipments_shipment
        WHERE id = NEW.shipment_id AND organization_id = NEW.organization_id AND seq >= NEW.seq
    ) THEN
        RAISE EXCEPTION 'event % runs ahead of its shipment', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("shipments", "0010_proof_of_delivery")]
    operations = [
        migrations.RunSQL(GUARD, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="shipmentevent",
            name="shipment",
            field=models.ForeignKey(
                db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE,
                related_name="events", to="shipments.shipment",
            ),
        ),
    ]
