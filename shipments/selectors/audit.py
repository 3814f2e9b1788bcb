"""Blocking reads of the audit trail."""

from typing import Any

from shipments.models import AuditEntry
from shipments.querysets import Viewer


def audit_entries(viewer: Viewer) -> Any:
    """Return the audit entries of the viewer's organisation, to be filtered further."""
    return AuditEntry.objects.filter(organization_id=viewer.organization_id)


def installation_entries(_: Viewer) -> Any:
    """Return the entries of the whole installation, to be filtered further: for staff of any organisation."""
    return AuditEntry.objects.filter(organization__isnull=True)
