"""Members of staff in front of the admin."""

from collections.abc import Callable
from typing import Any

from django.contrib.messages import get_messages
from django.test import Client

from shipments.models import Organization, Shipment
from shipments.services.accounts import api_keys
from tests import factories
from tests.factories import NOW

Operators = Callable[..., Client]


def messages_of(response: Any) -> list[str]:
    """Return the messages that the page shows."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def create_rows(house: Organization, rows: int) -> list[Shipment]:
    """Store so many shipments with all that stands beside them, and return them."""
    by = factories.member(house, "admin")
    factories.customer(house)
    api_keys.create(by=by, now=NOW, name="tms", scopes=["shipments:read"])
    return [
        factories.booked_shipment(
            by, driver_id=factories.driver(house).pk, customer_id=factories.customer(house).pk
        )
        for _ in range(rows)
    ]
