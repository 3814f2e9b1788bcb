"""Whoever types a free text is told who will read it: in the schema and in the admin."""

from typing import Any

import pytest
from django.contrib import admin

from shipments.admin.shipments import NewShipmentForm, ShipmentAdmin, ShipmentForm
from shipments.admin.voiding import VoidForm
from shipments.models import Shipment
from tests.shipments.api.client import Api

FREE_TEXTS = {"note", "notes", "reason"}


def texts_of(schema: Any) -> dict[str, str]:
    """Return the description of every free text that a request may hold, by `Schema.field`."""
    return {
        f"{name}.{field}": declared.get("description", "")
        for name, component in schema["components"]["schemas"].items()
        if name.endswith("Request")
        for field, declared in component.get("properties", {}).items()
        if field in FREE_TEXTS
    }


@pytest.mark.django_db
def test_the_schema_says_who_reads_a_free_text() -> None:
    texts = texts_of(Api(None).get("/api/schema", {"format": "json"}).json())

    assert {"TransitionRequest.note", "TransitionRequest.reason", "VoidingRequest.reason"} <= set(texts)
    assert {name: text for name, text in texts.items() if "customers" not in text} == {}
    assert {name for name, text in texts.items() if text.startswith("Public: ")} == {
        name for name in texts if name.endswith(".note")
    }


@pytest.mark.parametrize("form", [NewShipmentForm, ShipmentForm])
def test_the_admin_says_who_reads_the_notes_of_a_shipment(form: Any) -> None:
    made = ShipmentAdmin(Shipment, admin.site)

    assert made.model is Shipment
    assert "ustomers and tracking links do not see" in str(form.base_fields["notes"].help_text)


def test_the_admin_says_who_reads_a_reason() -> None:
    for form in (ShipmentForm, VoidForm):
        assert "ustomers and tracking links do not see it" in str(form.base_fields["reason"].help_text)
