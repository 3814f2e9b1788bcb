"""Tracking links to one shipment: shown once, expiring, revocable, stored as a digest."""

import uuid
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.db import transaction

from shipments import log, signals
from shipments.auth import tokens
from shipments.auth.subjects import Subject
from shipments.models import Role, TrackingLink
from shipments.services import write
from shipments.services.validation import InvalidArgument

DEFAULT_LIFETIME: Final = timedelta(days=30)
MAX_LIFETIME: Final = timedelta(days=365)
# Enough for every party of a shipment; a bound for a script that creates links in a loop.
MAX_LINKS: Final = 100


class LinkNotFound(Exception):
    """No such link of this shipment, or not for this subject."""


def create(
    *, by: Subject, now: datetime, reference: str, expires_at: datetime | None = None
) -> tuple[TrackingLink, str]:
    """Store a link that shows exactly this shipment, for 30 days by default, and return it with its token.

    A customer's link ends with the customer's right to see the shipment. Raises Forbidden, ShipmentNotFound,
    InvalidArgument.
    """
    by.require("links:write")
    ends_at = expires_at or now + DEFAULT_LIFETIME
    if ends_at <= now:
        raise InvalidArgument("expiresAt", "The link would have ended already.", code="past")
    if ends_at > now + MAX_LIFETIME:
        raise InvalidArgument("expiresAt", f"A link lasts at most {MAX_LIFETIME.days} days.", code="too_late")
    token = tokens.new_tracking_token()
    with write.locked_shipment(reference, by=by) as shipment:
        active_links = TrackingLink.objects.filter(shipment=shipment, revoked_at=None, expires_at__gt=now)
        if active_links.count() >= MAX_LINKS:
            raise InvalidArgument("", f"At most {MAX_LINKS} links at a time; revoke one first.", code="too_many")
        link = TrackingLink.objects.create(
            organization_id=shipment.organization_id,
            shipment=shipment,
            customer_id=by.customer_id if by.role == Role.CUSTOMER else None,
            prefix=token[:8],
            digest=tokens.digest(token),
            created_by_id=by.user_id,
            created_at=now,
            expires_at=ends_at,
        )
        log.record_audit(
            by=by, now=now, action="permission", entity="tracking_link", entity_id=link.pk,
            after={"reference": shipment.reference, "expires_at": ends_at.isoformat()},
        )  # fmt: skip
    return link, token


def revoke(*, by: Subject, now: datetime, reference: str, link_id: uuid.UUID | None = None) -> int:
    """Revoke a link, or every link of the shipment that the subject manages, and return how many.

    Revoked links stay as they are. Raises Forbidden, ShipmentNotFound, LinkNotFound.
    """
    by.require("links:write")
    with write.locked_shipment(reference, by=by) as shipment:
        links = TrackingLink.objects.visible_to(by).filter(shipment=shipment)
        if link_id is not None:
            links = links.filter(pk=link_id)
            if not links.exists():
                raise LinkNotFound(str(link_id))
        active_links = list(links.filter(revoked_at=None))
        for link in active_links:
            link.revoked_at = now
            link.save(update_fields=["revoked_at"])
            log.record_audit(
                by=by, now=now, action="permission", entity="tracking_link", entity_id=link.pk,
                before={"reference": shipment.reference}, after={"revoked": True},
            )  # fmt: skip
            transaction.on_commit(partial(_send_link_revoked, link), robust=True)
    return len(active_links)


def _send_link_revoked(link: TrackingLink) -> None:
    signals.link_revoked.send_robust(sender=TrackingLink, organization_id=link.organization_id, link_id=link.pk)
