"""Helpers of the admin tests: operators, their messages, and rows to look at."""

from collections.abc import Callable
from typing import Any

from django.contrib.messages import get_messages
from django.test import Client

from shipments.models import Organization, Shipment
from shipments.services.accounts import api_keys
from shipments.services.shipments import tracking_links
from tests import factories
from tests.factories import NOW

OperatorFactory = Callable[..., Client]


def messages_of(response: Any) -> list[str]:
    """Return the messages that the page shows."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def create_rows(organization: Organization, rows: int) -> list[Shipment]:
    """Store shipments with drivers, customers and an API key, the last with a tracking link, and return them."""
    by = factories.member(organization, "admin")
    factories.customer(organization)
    api_keys.create(by=by, now=NOW, name="tms", scopes=["shipments:read"])
    shipments = [
        factories.booked_shipment(
            by, driver_id=factories.driver(organization).pk, customer_id=factories.customer(organization).pk
        )
        for _ in range(rows)
    ]
    tracking_links.create(by=by, now=NOW, reference=shipments[-1].reference)
    return shipments
