"""Positions in a table partitioned by day; phones' keys and tracking links."""

import django.db.models.deletion
import shipments.domain.identifiers
from django.db import migrations, models

# The relay makes further days ahead and drops old ones; what lies outside of all days goes to `_other`.
POSITIONS = """
CREATE TABLE shipments_position (
    driver_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    latitude double precision NOT NULL,
    longitude double precision NOT NULL,
    accuracy double precision,
    speed double precision,
    bearing double precision,
    plausible boolean NOT NULL DEFAULT true,
    PRIMARY KEY (driver_id, recorded_at)
) PARTITION BY RANGE (recorded_at);

CREATE TABLE shipments_position_other PARTITION OF shipments_position DEFAULT;

DO $$
DECLARE
    first date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    FOR n IN 0..2 LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF shipments_position FOR VALUES FROM (%L) TO (%L)',
            'shipments_position_' || to_char(first + n, 'YYYYMMDD'),
            (first + n)::text || ' 00:00:00+00', (first + n + 1)::text || ' 00:00:00+00'
        );
    END LOOP;
END $$;

CREATE TRIGGER position_never_changes BEFORE UPDATE ON shipments_position
    FOR EACH ROW EXECUTE FUNCTION freight_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("shipments", "0008_socket_tickets")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(POSITIONS, "DROP TABLE shipments_position")],
            state_operations=[
                migrations.CreateModel(
                    name="Position",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "driver_id", "recorded_at", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("driver_id", models.UUIDField()),
                        ("recorded_at", models.DateTimeField()),
                        ("received_at", models.DateTimeField()),
                        ("latitude", models.FloatField()),
                        ("longitude", models.FloatField()),
                        ("accuracy", models.FloatField(help_text="Metres.", null=True)),
                        ("speed", models.FloatField(help_text="Metres a second.", null=True)),
                        ("bearing", models.FloatField(help_text="Degrees from north, clockwise.", null=True)),
                        ("plausible", models.BooleanField(default=True)),
                    ],
                ),
            ],
        ),
        migrations.AddField(model_name="driverposition", name="own", field=models.BooleanField(default=False)),
        migrations.CreateModel(
            name="DeviceKey",
            fields=[
                ("id", models.UUIDField(default=shipments.domain.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=80)),
                ("prefix", models.CharField(max_length=12)),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("created_at", models.DateTimeField()),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("driver", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="device_keys", to="shipments.driver")),
                ("organization", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="shipments.organization")),
            ],
            options={"indexes": [models.Index(fields=["driver", "-created_at"], name="device_key_of_driver")]},
        ),
        migrations.CreateModel(
            name="TrackingLink",
            fields=[
                ("id", models.UUIDField(default=shipments.domain.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("prefix", models.CharField(max_length=12)),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("created_by_id", models.UUIDField(blank=True, null=True)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("customer", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, to="shipments.customer")),
                ("organization", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="shipments.organization")),
                ("shipment", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="tracking_links", to="shipments.shipment")),
            ],
            options={"indexes": [models.Index(fields=["shipment", "-created_at"], name="link_of_shipment")]},
        ),
    ]
