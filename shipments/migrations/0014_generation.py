"""The epoch gets a part that Freight gives by itself: `freight_epoch()` is the one place that composes it.

pg_restore into the same server, a started base backup and a disk snapshot change neither the system identifier nor
the timeline. The generation is random, so that a dump that is restored twice never gets the same one twice.
"""

from django.db import migrations, models

EPOCH = """
CREATE FUNCTION freight_epoch() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    server text;
    timeline text;
BEGIN
    -- Managed services hide one or both.
    BEGIN
        SELECT system_identifier::text INTO server FROM pg_control_system();
    EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
        server := NULL;
    END;
    BEGIN
        timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
        timeline := NULL;
    END;
    RETURN left(encode(sha256(convert_to(concat_ws('.',
        COALESCE((SELECT value::text FROM shipments_generation), '-'),
        COALESCE(server, '-'),
        COALESCE(timeline, '-'),
        (SELECT oid::text FROM pg_database WHERE datname = current_database()),
        'shipments_shipmentevent'::regclass::oid::text
    ), 'UTF8')), 'hex'), 20);
END $$;

INSERT INTO shipments_generation (id, value, reason, began_at) VALUES (1, gen_random_uuid(), 'installed', now());
"""


class Migration(migrations.Migration):
    dependencies = [("shipments", "0013_shipment_present")]
    operations = [
        migrations.CreateModel(
            name="Generation",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("value", models.UUIDField()),
                ("reason", models.CharField(max_length=200)),
                ("began_at", models.DateTimeField()),
                ("went_back_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="generation_is_one_row")],
            },
        ),
        migrations.RunSQL(EPOCH, "DROP FUNCTION freight_epoch();"),
    ]
