"""Names are found in whatever form they were stored: composed or not, with other spaces, in capitals."""

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations

from shipments.querysets import NameKey


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shipments", "0023_events_tell_key_and_request")]
    operations = [
        # What a build that broke off has left behind.
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS customer_named", migrations.RunSQL.noop),
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS location_named", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="customer",
            index=GinIndex(OpClass(NameKey("name"), name="gin_trgm_ops"), name="customer_named"),
        ),
        AddIndexConcurrently(
            model_name="location",
            index=GinIndex(OpClass(NameKey("name"), name="gin_trgm_ops"), name="location_named"),
        ),
        RemoveIndexConcurrently(model_name="customer", name="customer_searched"),
        RemoveIndexConcurrently(model_name="location", name="location_searched"),
    ]
