"""Who may call at all; what it may do is asked of the subject, in the view."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from shipments.auth.subjects import Subject


class IsMember(BasePermission):
    """Admits whoever acts in an organisation."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether somebody was recognised."""
        return isinstance(request.auth, Subject)
