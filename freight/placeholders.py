"""Paths whose endpoints come later, while their limits stand already: they count and answer 404."""

from typing import Any, ClassVar

from django.urls import URLPattern, path
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView


class PlaceholderView(APIView):
    """Counts whoever asks against a policy and finds nothing, whatever the method."""

    permission_classes = (AllowAny,)
    rate_policies: ClassVar[tuple[str, ...]] = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """See who asks, and count."""
        super().initial(request, *args, **kwargs)
        raise NotFound


def placeholder_paths(policy: str) -> list[URLPattern]:
    """Return the routes of everything below `/api/<policy>`."""
    view = PlaceholderView.as_view(rate_policies=(policy,))
    return [path(f"api/{policy}{rest}", view) for rest in ("", "/", "/<path:rest>")]
