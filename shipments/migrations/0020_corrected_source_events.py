"""A source may correct its event under the same id: of those that are not voided there is one."""

from django.db import migrations, models

COUNTS = models.UniqueConstraint(
    condition=models.Q(("source_event_id__isnull", False), ("voided_at", None)),
    fields=("shipment", "source", "source_event_id"),
    name="checkpoint_source_event_counts",
)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shipments", "0019_longer_code_systems")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                # What a build that broke off has left behind.
                migrations.RunSQL(
                    "DROP INDEX CONCURRENTLY IF EXISTS checkpoint_source_event_counts", migrations.RunSQL.noop
                ),
                migrations.RunSQL(
                    "CREATE UNIQUE INDEX CONCURRENTLY checkpoint_source_event_counts ON shipments_checkpoint"
                    " (shipment_id, source, source_event_id)"
                    " WHERE (source_event_id IS NOT NULL AND voided_at IS NULL)",
                    "DROP INDEX CONCURRENTLY IF EXISTS checkpoint_source_event_counts",
                ),
                migrations.RunSQL(
                    "DROP INDEX CONCURRENTLY IF EXISTS checkpoint_source_event_once",
                    "CREATE UNIQUE INDEX CONCURRENTLY checkpoint_source_event_once ON shipments_checkpoint"
                    " (shipment_id, source, source_event_id) WHERE source_event_id IS NOT NULL",
                ),
            ],
            state_operations=[
                migrations.RemoveConstraint(model_name="checkpoint", name="checkpoint_source_event_once"),
                migrations.AddConstraint(model_name="checkpoint", constraint=COUNTS),
            ],
        ),
        migrations.AlterField(
            model_name="checkpoint",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("applied", "Applied"),
                    ("late", "Late"),
                    ("anomalous", "Anomalous"),
                    ("duplicate", "Duplicate"),
                ],
                max_length=9,
            ),
        ),
    ]
