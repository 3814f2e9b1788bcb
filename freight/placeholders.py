"""Reserved paths: their endpoints do not exist yet, but a request already counts against their policy."""

from typing import Any, ClassVar

from django.urls import URLPattern, path
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView


class PlaceholderView(APIView):
    """Counts a request against `rate_policies` and answers 404, whatever the method."""

    permission_classes = (AllowAny,)
    rate_policies: ClassVar[tuple[str, ...]] = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate and throttle, then raise NotFound."""
        super().initial(request, *args, **kwargs)
        raise NotFound


def placeholder_paths(policy: str) -> list[URLPattern]:
    """Return the routes of `/api/<policy>` and everything below it."""
    view = PlaceholderView.as_view(rate_policies=(policy,))
    return [path(f"api/{policy}{rest}", view) for rest in ("", "/", "/<path:rest>")]
