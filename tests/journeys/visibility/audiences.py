"""Who may see each stored text: a field that is in no line here fails a test, so that a new one is decided.

Keys, numbers, times and flags of the rows themselves are left out; coordinates are in.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from django.apps import apps
from django.db import models


class Audience(StrEnum):
    """Who may see a field, of a shipment that they may see."""

    EVERYBODY = "everybody"  # tracking links too
    CUSTOMER = "customer"  # the customer itself and staff
    STAFF = "staff"
    NOBODY = "nobody"  # no door shows it


_TEXTS: Final = (
    models.CharField, models.TextField, models.JSONField, models.BinaryField, models.GenericIPAddressField,
    models.FloatField, models.UUIDField,
)  # fmt: skip
_APPS: Final = ("shipments", "exports", "ratelimits")
# What a row belongs to, in tables without foreign keys.
_KEYS: Final = frozenset({"organization_id", "shipment_id", "driver_id", "import_id", "export_id", "run_id"})

# By model; what is not named is for everybody who sees the row.
_STAFF: Final = {
    "User": "email name", "ApiKey": "name prefix", "DeviceKey": "name prefix", "TrackingLink": "prefix",
    "AuditEntry": "actor_id actor_name entity_id before after address request_id", "Checkpoint": "void_reason",
    "Customer": "name email phone", "Driver": "name phone license_number vehicle",
    "DriverPosition": "latitude longitude", "Location": "name latitude longitude",
    "Shipment": "reference references flags notes",
    "ShipmentEvent": "actor_id actor_key_id actor_key_name request_id data",
    "Export": "filters address request_id", "Import": "filename header", "ImportedRow": "reference errors warnings",
}  # fmt: skip
_CUSTOMER: Final = {"ProofOfDelivery": "signer_name note"}
_NOBODY: Final = {
    "Organization": "slug", "User": "password", "ApiKey": "digest", "DeviceKey": "digest",
    "TrackingLink": "digest created_by_id", "RefreshFamily": "address refreshed_from", "AuditLink": "previous hash",
    "IdempotencyKey": "caller key fingerprint headers body", "SocketTicket": "digest credential",
    "Position": "latitude longitude accuracy speed bearing", "ProofOfDelivery": "actor_id",
    "Run": "actor", "Export": "owner_id key_id error file",
    "Import": "owner_id key_id address request_id error sha256", "ImportedFile": "packed",
    "FailedAttempts": "key", "KeyLimit": "key", "Generation": "value reason",
}  # fmt: skip
# Of those, what a test cannot plant or tell apart: digests of content, keys of the installation, pictures.
UNPLANTED: Final = frozenset(
    {
        "AuditLink.previous", "AuditLink.hash", "IdempotencyKey.caller", "IdempotencyKey.fingerprint",
        "IdempotencyKey.headers", "SocketTicket.credential", "Position.accuracy", "Position.speed",
        "Position.bearing", "Export.key_id", "Export.file", "Import.key_id", "Import.sha256", "Import.error",
        "Export.error", "ImportedFile.packed", "FailedAttempts.key", "KeyLimit.key", "Generation.value",
        "Generation.reason", "RefreshFamily.refreshed_from",
    }
)  # fmt: skip


def stored_texts() -> Iterator[str]:
    """Yield `Model.field` of every column that may hold something to hide."""
    for app in _APPS:
        for model in apps.get_app_config(app).get_models():
            for field in model._meta.concrete_fields:
                is_key = field.primary_key or field.name in _KEYS
                if isinstance(field, _TEXTS) and not is_key and not field.choices:
                    yield f"{model.__name__}.{field.name}"


def audiences() -> dict[str, Audience]:
    """Return the audience of each field that not everybody may see, by `Model.field`."""
    tables = ((_STAFF, Audience.STAFF), (_CUSTOMER, Audience.CUSTOMER), (_NOBODY, Audience.NOBODY))
    return {
        f"{model}.{field}": audience
        for table, audience in tables
        for model, fields in table.items()
        for field in fields.split()
    }


# What everybody may see of a shipment that is shown to them: written down, so that a new field is in no list.
PUBLIC: Final = frozenset(
    {
        "Organization.name", "AuditEntry.actor_role", "AuditEntry.action", "AuditEntry.entity", "Checkpoint.code",
        "Checkpoint.code_system", "Checkpoint.state", "Checkpoint.note", "Checkpoint.source",
        "Checkpoint.source_event_id",
        "ShipmentEvent.status", "ShipmentEvent.actor_role", "Location.locode", "Location.country",
        "Location.details",
        "ProofOfDelivery.actor_role", "ProofPicture.media_type", "ProofPicture.sha256",
        "ProofPicture.content", "Run.report", "Run.format", "Export.report", "Export.format", "Export.sha256",
        "Import.kind", "Import.decimal_marks", "ImportedRow.outcome", "ImportedRow.changed",
        "FailedAttempts.policy",
        "KeyLimit.policy",
    }
)  # fmt: skip
