"""A peer of the export bench: a view as in Django's documentation, rows of the ORM through `csv.writer`.

Run as `daphne tests.bench.exporting.iterator:application`. An asynchronous generator, since Daphne would hold the
whole answer of another in memory; no authentication, limits, audit or care for formulas.
"""

# ruff: noqa: E402  the imports below need the settings

import csv
import os
from collections.abc import AsyncIterator
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
import django

django.setup()

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from shipments.models import Shipment
from tests.bench.exporting import columns

CHUNK = 2_000
ROWS = int(os.environ["BENCH_ROWS"])


class Echo:
    """A file whose `write` returns its argument."""

    def write(self, line: str) -> str:
        return line


async def rows(request: HttpRequest) -> StreamingHttpResponse:
    shipments = Shipment.objects.filter(organization__slug="demo", deleted_at=None).order_by("-created_at", "-id")

    async def lines() -> AsyncIterator[Any]:
        writer = csv.writer(Echo())
        yield writer.writerow(columns.COLUMNS)
        chosen = shipments.select_related("origin", "destination", "driver", "customer")
        async for shipment in chosen[:ROWS].aiterator(chunk_size=CHUNK):
            yield writer.writerow(columns.cells(shipment))

    return StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")


async def ready(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ready")


settings.MIDDLEWARE = []
settings.ALLOWED_HOSTS = ["*"]
urlpatterns = [path("rows.csv", rows), path("", ready)]
settings.ROOT_URLCONF = __name__
application = ASGIHandler()
