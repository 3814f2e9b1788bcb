"""The refusals of the event streams, by the chain that refuses every other request.

`realtime.sse.application` serves the streams before Django, and passes on the requests that it does not admit. What
is wrong with one is found here, in the order of REST; what only a stream can be refused for comes with the request.
"""

from typing import Any, NoReturn

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.views import APIView

from shipments.api.http.renderers import JSONRenderer
from shipments.api.http.requests import require_follower, require_reader
from shipments.parsing.stream_requests import REFUSAL_KEY, cursor_of
from shipments.selectors import shipments as selectors
from shipments.services import FeedNotFound, ShipmentNotFound


class EventStreamRenderer(JSONRenderer):
    """Renders problems to clients that ask for an event stream."""

    media_type = "text/event-stream"


class StreamUnavailable(APIException):
    """The reason of a refusal was gone when the request was looked at again."""

    status_code = 503
    default_code = "stream_unavailable"
    default_detail = "The stream could not be opened; try again."


@extend_schema(exclude=True)  # `realtime.sse.openapi` describes the streams
class StreamView(APIView):
    """A stream; only requests that `realtime.sse` has refused come here."""

    http_method_names = ["get", "options"]
    renderer_classes = [EventStreamRenderer]

    def _refuse(self, request: Request) -> NoReturn:
        """Raise what the stream was refused for."""
        scope: dict[str, Any] = getattr(request._request, "scope", {})  # noqa: SLF001  DRF has no public name for it
        raise scope.get(REFUSAL_KEY) or StreamUnavailable


class ShipmentStreamView(StreamView):
    """The stream of one shipment."""

    def get(self, request: Request, reference: str) -> NoReturn:
        """Refuse the request."""
        subject = require_follower(request)
        cursor_of(request._request)  # noqa: SLF001  as in `_refuse`
        if not selectors.visible_shipments(subject).with_reference(reference).exists():
            raise ShipmentNotFound(reference)
        self._refuse(request)


class FeedStreamView(StreamView):
    """The stream of the organisation's feed."""

    def get(self, request: Request) -> NoReturn:
        """Refuse the request."""
        if not require_reader(request).sees_all_shipments:
            raise FeedNotFound
        cursor_of(request._request)  # noqa: SLF001  as in `_refuse`
        self._refuse(request)
