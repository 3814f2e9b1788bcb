from django.db import migrations

FORWARD = """
CREATE FUNCTION ratelimits_count_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ratelimits_revision AS kept (id, number) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET number = kept.number + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER ratelimits_policylimit_change
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON ratelimits_policylimit
    FOR EACH STATEMENT EXECUTE FUNCTION ratelimits_count_change();
CREATE TRIGGER ratelimits_keylimit_change
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON ratelimits_keylimit
    FOR EACH STATEMENT EXECUTE FUNCTION ratelimits_count_change();
"""
BACKWARD = """
DROP TRIGGER ratelimits_keylimit_change ON ratelimits_keylimit;
DROP TRIGGER ratelimits_policylimit_change ON ratelimits_policylimit;
DROP FUNCTION ratelimits_count_change();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('ratelimits', '0002_changed_limits'),
    ]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
