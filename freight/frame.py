"""What stands around every page: who looks, and where it may go."""

from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import reverse

from shipments import access
from shipments.access import Subject

# The pages of the bar: the route, its word, who may go there.
_PLACES: Final = (
    ("board", "Board", "shipments:read"),
    ("exports-page", "Exports", "exports:read"),
    ("imports-page", "Imports", "shipments:write"),
)


@dataclass(frozen=True)
class Place:
    """One page of the bar."""

    path: str
    label: str
    here: bool


def viewer_of(request: HttpRequest) -> Subject:
    """This will return the subject of the session; raises PermissionDenied for a user without organisation."""
    viewer = access.of_user(request.user) if request.user.is_authenticated else None
    if viewer is None or not viewer.may("shipments:read"):
        raise PermissionDenied("This account belongs to no organisation yet.")
    return viewer


def around(viewer: Subject, here: str) -> dict[str, Any]:
    """This will return what `top.html` shows on the page of this route."""
    places = [Place(reverse(name), label, name == here) for name, label, needs in _PLACES if viewer.may(needs)]
    return {"viewer": viewer, "places": places}
