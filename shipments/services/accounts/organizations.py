"""Organisations: created by superusers alone."""

from dataclasses import replace
from datetime import datetime

from django.db import IntegrityError, transaction

from shipments import log
from shipments.auth.subjects import Forbidden, Subject
from shipments.models import Organization
from shipments.services.validation import InvalidArgument


def create(*, by: Subject, now: datetime, name: str, slug: str) -> Organization:
    """Store a new organisation. Only the system (a superuser) may. Raises Forbidden, InvalidArgument."""
    if not by.runs_installation:
        raise Forbidden("Only those who run the installation found organisations.")
    with transaction.atomic():
        organization = Organization(name=name, slug=slug, created_at=now)
        try:
            with transaction.atomic():
                organization.save(force_insert=True)
        except IntegrityError as error:
            if "slug" not in str(error):
                raise
            raise InvalidArgument("slug", "There is an organisation with this slug already.") from error
        log.record_audit(
            by=replace(by, organization_id=organization.pk), now=now, action="create", entity="organization",
            entity_id=organization.pk, after={"name": name, "slug": slug},
        )  # fmt: skip
    return organization
