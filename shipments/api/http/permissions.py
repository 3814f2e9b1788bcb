"""The default permission. What a caller may do, the view asks its subject."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from shipments.auth.subjects import Subject


class IsMember(BasePermission):
    """Admits every authenticated caller."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether the request is authenticated."""
        return isinstance(request.auth, Subject)
