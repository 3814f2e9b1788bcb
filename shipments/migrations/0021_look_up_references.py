from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shipments", "0020_corrected_source_events")]
    operations = [
        # What a build that broke off has left behind.
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS shipment_references", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="shipment",
            index=GinIndex(fields=["references"], name="shipment_references", opclasses=["jsonb_path_ops"]),
        ),
    ]
