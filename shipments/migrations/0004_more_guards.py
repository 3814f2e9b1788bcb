"""What is committed is queued for the feed and the audit chain, and neither can be rewritten."""

from django.db import migrations

SQL = """
CREATE FUNCTION freight_event_unnumbered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shipments_unnumberedevent (event_id, organization_id) VALUES (NEW.id, NEW.organization_id);
    RETURN NULL;
END $$;
CREATE TRIGGER event_unnumbered AFTER INSERT ON shipments_shipmentevent
    FOR EACH ROW EXECUTE FUNCTION freight_event_unnumbered();

CREATE FUNCTION freight_entry_unlinked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shipments_unlinkedentry (entry_id, organization_id) VALUES (NEW.id, NEW.organization_id);
    RETURN NULL;
END $$;
CREATE TRIGGER entry_unlinked AFTER INSERT ON shipments_auditentry
    FOR EACH ROW EXECUTE FUNCTION freight_entry_unlinked();

-- What was committed before the feed and the chain existed waits for them too.
INSERT INTO shipments_unnumberedevent (event_id, organization_id) SELECT id, organization_id FROM shipments_shipmentevent;
INSERT INTO shipments_unlinkedentry (entry_id, organization_id) SELECT id, organization_id FROM shipments_auditentry;

CREATE TRIGGER feed_append_only BEFORE UPDATE OR DELETE ON shipments_feedentry
    FOR EACH ROW EXECUTE FUNCTION freight_append_only();
CREATE TRIGGER feed_append_only_truncate BEFORE TRUNCATE ON shipments_feedentry
    FOR EACH STATEMENT EXECUTE FUNCTION freight_append_only();
CREATE TRIGGER link_append_only BEFORE UPDATE OR DELETE ON shipments_auditlink
    FOR EACH ROW EXECUTE FUNCTION freight_append_only();
CREATE TRIGGER link_append_only_truncate BEFORE TRUNCATE ON shipments_auditlink
    FOR EACH STATEMENT EXECUTE FUNCTION freight_append_only();

CREATE FUNCTION freight_checkpoint_only_voided() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was shipments_checkpoint := OLD;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a checkpoint is never removed: void it' USING ERRCODE = 'restrict_violation';
    END IF;
    was.voided_at := NEW.voided_at;
    was.void_reason := NEW.void_reason;
    IF was IS DISTINCT FROM NEW OR OLD.voided_at IS NOT NULL THEN
        RAISE EXCEPTION 'a checkpoint can only be voided, once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER checkpoint_only_voided BEFORE UPDATE OR DELETE ON shipments_checkpoint
    FOR EACH ROW EXECUTE FUNCTION freight_checkpoint_only_voided();
"""

UNDO = """
DROP FUNCTION freight_event_unnumbered, freight_entry_unlinked, freight_checkpoint_only_voided CASCADE;
DROP TRIGGER feed_append_only ON shipments_feedentry;
DROP TRIGGER feed_append_only_truncate ON shipments_feedentry;
DROP TRIGGER link_append_only ON shipments_auditlink;
DROP TRIGGER link_append_only_truncate ON shipments_auditlink;
"""


class Migration(migrations.Migration):
    dependencies = [("shipments", "0003_evidence_feed_chain")]
    operations = [migrations.RunSQL(SQL, UNDO)]
