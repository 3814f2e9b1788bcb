"""Django REST framework as in its tutorial, on stock Daphne, over the same tables: no limits, no metrics.

The database is named by BENCH_HOST, BENCH_DATABASE, BENCH_USER; the organisation by BENCH_ORGANIZATION.
"""

# ruff: noqa: E402  the imports below need the settings

import os
from typing import Any

from django.conf import settings

settings.configure(
    SECRET_KEY="bench",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="tests.bench.rest.textbook",
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["BENCH_HOST"],
            "NAME": os.environ["BENCH_DATABASE"],
            "USER": os.environ["BENCH_USER"],
            "OPTIONS": {"pool": {"min_size": 1, "max_size": 10}},
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"],
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer"
    ]},
)  # fmt: skip

import django

django.setup()

from django.core.asgi import get_asgi_application
from django.db import models
from django.http import HttpRequest, JsonResponse
from django.urls import path
from rest_framework import generics, serializers


class Driver(models.Model):  # noqa: DJ008  never shown
    """A driver."""

    id = models.UUIDField(primary_key=True)
    name = models.TextField()
    phone = models.TextField()

    class Meta:
        app_label, managed, db_table = "bench", False, "shipments_driver"


class Location(models.Model):  # noqa: DJ008  never shown
    """A place."""

    id = models.UUIDField(primary_key=True)
    locode = models.TextField(null=True)
    name = models.TextField()
    country = models.TextField()
    latitude = models.FloatField(null=True)
    longitude = models.FloatField(null=True)

    class Meta:
        app_label, managed, db_table = "bench", False, "shipments_location"


class Shipment(models.Model):  # noqa: DJ008  never shown
    """A shipment."""

    id = models.UUIDField(primary_key=True)
    organization_id = models.UUIDField()
    reference = models.TextField()
    status = models.TextField()
    seq = models.BigIntegerField()
    references = models.JSONField()
    pieces = models.IntegerField(null=True)
    weight_kg = models.DecimalField(null=True, max_digits=12, decimal_places=3)
    volume_m3 = models.DecimalField(null=True, max_digits=10, decimal_places=3)
    planned_pickup_at = models.DateTimeField(null=True)
    planned_delivery_at = models.DateTimeField(null=True)
    eta = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    flags = models.JSONField()
    notes = models.TextField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)
    driver = models.ForeignKey(Driver, models.DO_NOTHING, null=True)
    origin = models.ForeignKey(Location, models.DO_NOTHING, related_name="+")
    destination = models.ForeignKey(Location, models.DO_NOTHING, related_name="+")

    class Meta:
        app_label, managed, db_table = "bench", False, "shipments_shipment"


def _serializer(of: type[models.Model], **nested: Any) -> Any:
    meta = type("Meta", (), {"model": of, "fields": "__all__"})
    return type(f"{of.__name__}Serializer", (serializers.ModelSerializer,), {"Meta": meta} | nested)


ShipmentSerializer = _serializer(
    Shipment, driver=_serializer(Driver)(), origin=_serializer(Location)(), destination=_serializer(Location)()
)
_visible_shipments = Shipment._default_manager.filter(
    organization_id=os.environ["BENCH_ORGANIZATION"], deleted_at=None
).select_related("driver", "origin", "destination")


class ListView(generics.ListAPIView):  # type: ignore[type-arg]  # as in the tutorial
    """List the newest fifty shipments."""

    serializer_class = ShipmentSerializer
    queryset = _visible_shipments

    def filter_queryset(self, queryset: Any) -> Any:
        return queryset.order_by("-created_at", "-id")[:50]


class OneView(generics.RetrieveAPIView):  # type: ignore[type-arg]  # as in the tutorial
    """Read one shipment."""

    serializer_class = ShipmentSerializer
    queryset = _visible_shipments
    lookup_field = "reference"


def empty(request: HttpRequest) -> JsonResponse:
    """Answer an empty object."""
    return JsonResponse({})


urlpatterns = [
    path("", empty),
    path("shipments", ListView.as_view()),
    path("shipments/<str:reference>", OneView.as_view()),
]
application = get_asgi_application()
