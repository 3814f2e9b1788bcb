"""The navigation bar of every page: the viewer, and the pages that the viewer may open."""

from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import reverse

from shipments.auth import subjects
from shipments.auth.subjects import Subject

# Route name, label, required permission.
_ITEMS: Final = (
    ("board", "Board", "shipments:read"),
    ("exports-page", "Exports", "exports:read"),
    ("imports-page", "Imports", "shipments:write"),
)


class NoOrganization(PermissionDenied):
    """The account belongs to no organisation: the pages have nothing for it."""


@dataclass(frozen=True)
class NavigationItem:
    """One link of the bar."""

    path: str
    label: str
    is_current: bool


def viewer_of(request: HttpRequest) -> Subject:
    """Return the subject of the session; raises NoOrganization, which `freight.urls` answers."""
    viewer = subjects.subject_of_user(request.user) if request.user.is_authenticated else None
    if viewer is None or not viewer.has_permission("shipments:read"):
        raise NoOrganization
    return viewer


def context_for(viewer: Subject, route_name: str) -> dict[str, Any]:
    """Return the context of `navigation.html` on the page of this route."""
    items = [
        NavigationItem(reverse(name), label, name == route_name)
        for name, label, permission in _ITEMS
        if viewer.has_permission(permission)
    ]
    return {"viewer": viewer, "places": items}
