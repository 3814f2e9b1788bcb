"""Blocking reads of accounts and API keys."""

import uuid
from typing import Final

from django.db.models import Q

from shipments.models import ApiKey, Membership, Organization, User
from shipments.querysets import ApiKeyQuerySet, OwningViewer, Viewer

MAX_MATCHES: Final = 20


def search_members(viewer: Viewer, text: str) -> list[Membership]:
    """Return up to 20 active members of the viewer's organisation, with their users, by name.

    Members whose name contains the text or whose address begins with it; where there are none, those whose name is
    similar. It scans the members of one organisation, which are few: no index of its own.
    """
    members = Membership.objects.filter(organization_id=viewer.organization_id, user__is_active=True)
    members = members.select_related("user").order_by("user__name", "user__email", "id")
    substring_match = Q(user__name__icontains=text) | Q(user__email__istartswith=text)
    matches = list(members.filter(substring_match)[:MAX_MATCHES])
    return matches or list(members.filter(user__name__trigram_word_similar=text)[:MAX_MATCHES])


def get_member(user_id: uuid.UUID) -> User:
    """Return a user with membership and organisation: one query. Raises User.DoesNotExist."""
    return User.objects.select_related("membership__organization").get(pk=user_id)


def get_user_by_email(email: str) -> User | None:
    """Return the user with this address in any case, with its membership; None where there is none."""
    return User.objects.select_related("membership").filter(email__iexact=email).first()


def organizations(slug: str | None) -> list[Organization]:
    """Return the organisation with this slug, without a slug the first two: enough to tell whether there is one."""
    rows = Organization.objects.order_by("slug")
    return list(rows.filter(slug=slug) if slug else rows[:2])


def api_keys(viewer: OwningViewer) -> ApiKeyQuerySet:
    """Return the API keys that the viewer manages, newest first, with their owners."""
    keys: ApiKeyQuerySet = ApiKey.objects.visible_to(viewer).select_related("user").order_by("-created_at", "-id")
    return keys
