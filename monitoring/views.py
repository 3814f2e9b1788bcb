"""Metrics over HTTP, for the network inside and for keys with the scope `metrics:read`."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client.exposition import choose_encoder
from rest_framework.exceptions import APIException, NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import exposition
from monitoring.addresses import is_within
from monitoring.runtime import cluster

_registry = exposition.registry(cluster.recent)


class InsideView(APIView):
    """An endpoint that is not there for strangers: METRICS_ALLOWED_NETWORKS or the scope, others get 404."""

    permission_classes = (AllowAny,)
    throttle_classes = ()

    def perform_authentication(self, request: Request) -> None:
        """This will ask who calls only where the network does not already answer; metrics outlive a database."""
        if is_within(request.META, settings.METRICS_ALLOWED_NETWORKS):
            return
        subject: Any = request.auth
        if subject is None or not subject.may("metrics:read"):
            raise NotFound

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:  # noqa: FBT001, FBT002  REST framework's signature
        """This will leave Accept to the exposition format, which knows more types than our renderers."""
        return super().perform_content_negotiation(request, force=True)

    def handle_exception(self, exc: Exception) -> Response:
        """This will answer bad credentials like none."""
        refused = isinstance(exc, APIException) and exc.status_code in {401, 403}
        return super().handle_exception(NotFound() if refused else exc)


class MetricsView(InsideView):
    """The metrics of every process of this host."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """This will write them as Prometheus text, or as OpenMetrics where Accept asks for it."""
        encode, content_type = choose_encoder(request.META.get("HTTP_ACCEPT", ""))
        return HttpResponse(encode(_registry), content_type=content_type)
