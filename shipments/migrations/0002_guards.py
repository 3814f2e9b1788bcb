"""Guards that no code path can step around: append-only log and audit, and `seq` bound to the log."""

from django.db import migrations

APPEND_ONLY = """
CREATE FUNCTION freight_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE ON shipments_shipmentevent
    FOR EACH ROW EXECUTE FUNCTION freight_append_only();
CREATE TRIGGER event_append_only_truncate BEFORE TRUNCATE ON shipments_shipmentevent
    FOR EACH STATEMENT EXECUTE FUNCTION freight_append_only();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON shipments_auditentry
    FOR EACH ROW EXECUTE FUNCTION freight_append_only();
CREATE TRIGGER audit_append_only_truncate BEFORE TRUNCATE ON shipments_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION freight_append_only();
"""

# Every column of a shipment is tracked: a change without `seq + 1`, or a new seq without its event, is refused.
SEQ = """
CREATE FUNCTION freight_shipment_seq() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.seq <> 1 THEN
            RAISE EXCEPTION 'a shipment starts at seq 1, not %', NEW.seq USING ERRCODE = 'check_violation';
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a shipment is never removed: its log stays' USING ERRCODE = 'restrict_violation';
    ELSIF NEW IS DISTINCT FROM OLD AND NEW.seq <> OLD.seq + 1 THEN
        RAISE EXCEPTION 'shipment % changed without seq + 1 (% -> %)', OLD.reference, OLD.seq, NEW.seq
            USING ERRCODE = 'check_violation';
    ELSIF NEW.id <> OLD.id OR NEW.organization_id <> OLD.organization_id OR NEW.reference <> OLD.reference THEN
        RAISE EXCEPTION 'the identity of shipment % is fixed', OLD.reference USING ERRCODE = 'check_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;

CREATE TRIGGER shipment_seq BEFORE INSERT OR UPDATE OR DELETE ON shipments_shipment
    FOR EACH ROW EXECUTE FUNCTION freight_shipment_seq();

CREATE FUNCTION freight_shipment_has_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM shipments_shipmentevent WHERE shipment_id = NEW.id AND seq = NEW.seq) THEN
        RAISE EXCEPTION 'shipment % has no event for seq %', NEW.reference, NEW.seq
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER shipment_has_event AFTER INSERT OR UPDATE ON shipments_shipment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION freight_shipment_has_event();

CREATE FUNCTION freight_event_has_shipment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM shipments_shipment
        WHERE id = NEW.shipment_id AND organization_id = NEW.organization_id AND seq >= NEW.seq
    ) THEN
        RAISE EXCEPTION 'event % runs ahead of its shipment', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER event_has_shipment AFTER INSERT ON shipments_shipmentevent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION freight_event_has_shipment();
"""

UNDO = """
DROP FUNCTION freight_append_only, freight_shipment_seq, freight_shipment_has_event,
    freight_event_has_shipment CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("shipments", "0001_initial")]
    operations = [migrations.RunSQL(APPEND_ONLY + SEQ, UNDO)]
