"""No page of the admin filters, orders, searches by or shows a secret column: all registered pages, all paths."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP
from django.test import RequestFactory
from django.urls import reverse

from shipments.admin.secret_columns import SECRET_COLUMNS, names_secret
from shipments.models import Organization, User
from tests.shipments.admin.operators import OperatorFactory, create_rows

Page = tuple[type[Model], Any]  # a model and its ModelAdmin
PAGES: list[Page] = list(admin.site._registry.items())
LOOKUPS = ("", "__exact", "__startswith", "__regex", "__gt", "__isnull", "__in")
_MAX_RELATIONS = 2
# Columns whose name sounds secret and that are none.
_NOT_SECRET = {
    "exports.Export.key_id", "exports.Import.key_id", "ratelimits.FailedAttempts.key", "ratelimits.KeyLimit.key",
    "shipments.AuditLink.hash", "shipments.IdempotencyKey.key", "shipments.ShipmentEvent.actor_key_id",
    "shipments.ShipmentEvent.actor_key_name",
}  # fmt: skip
_SOUNDS_SECRET = re.compile(r"pass|digest|secret|token|credential|hash|(^|_)key|session", re.IGNORECASE)


def _paths(model: type[Model], relations: int = _MAX_RELATIONS) -> Iterator[str]:
    """Yield the paths by which the ORM gets from the model to a secret column, itself included."""
    yield from SECRET_COLUMNS.get(model._meta.label, ())
    if relations:
        for field in model._meta.get_fields():
            if field.is_relation and isinstance(field.related_model, type):
                for rest in _paths(field.related_model, relations - 1):
                    yield f"{field.name}{LOOKUP_SEP}{rest}"


def _label(page: Page) -> str:
    return page[0]._meta.label


@pytest.fixture(params=PAGES, ids=_label)
def page(request: Any) -> Any:
    return request.param


def test_secret_columns_are_declared() -> None:
    columns = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if not field.is_relation and _SOUNDS_SECRET.search(field.name)
    }
    declared = {f"{label}.{column}" for label, names in SECRET_COLUMNS.items() for column in names}

    assert columns - _NOT_SECRET <= declared
    for label, names in SECRET_COLUMNS.items():
        for name in names:
            apps.get_model(label)._meta.get_field(name)


def test_some_pages_reach_secret_columns() -> None:
    assert {_label(page) for page in PAGES if any(_paths(page[0]))} >= {"shipments.User", "shipments.ApiKey"}


def test_no_lookup_reaches_a_secret_column(page: Page) -> None:
    model, model_admin = page
    request = RequestFactory().get("/admin/")

    allowed = [
        path + lookup
        for path in _paths(model)
        for lookup in LOOKUPS
        if model_admin.lookup_allowed(path + lookup, "x", request)
    ]

    assert not allowed


def test_nothing_declared_on_a_page_names_a_secret_column(page: Page) -> None:
    model, model_admin = page
    filters = [each[0] if isinstance(each, (tuple, list)) else each for each in model_admin.list_filter]
    columns = [each for each in model_admin.list_display if isinstance(each, str)]
    methods = [getattr(model_admin, each, None) for each in columns]
    orders = [getattr(method, "admin_order_field", None) for method in methods]
    declared = [
        *model_admin.search_fields, *filters, *columns, *(each for each in orders if isinstance(each, str)),
        *(model_admin.ordering or ()), *(model_admin.fields or ()), *model_admin.readonly_fields,
    ]  # fmt: skip

    assert [each for each in declared if isinstance(each, str) and names_secret(model, each)] == []


@pytest.mark.django_db
def test_a_request_is_refused_and_shows_nothing(
    operator: OperatorFactory, organization: Organization, page: Page
) -> None:
    create_rows(organization, 1)
    model, model_admin = page
    client = operator("root")
    path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    plain = client.get(path)

    for secret in _paths(model, relations=1):
        for query in ({f"{secret}__startswith": "a"}, {"_to_field": secret, "_popup": "1"}):
            assert client.get(f"{path}?{urlencode(query)}").status_code == 400
        for query in ({"o": secret}, {"o": f"-{secret}"}, {"o": "99"}):  # unknown orders are ignored
            response = client.get(f"{path}?{urlencode(query)}")
            assert response.status_code == 200
            assert list(response.context["cl"].queryset) == list(plain.context["cl"].queryset)
    if any(True for _ in _paths(model, relations=0)):
        row = plain.context["cl"].queryset[0]
        form = client.get(f"{path}{row.pk}/change/")
        shown = {
            name for _, options in model_admin.get_fieldsets(form.wsgi_request, row) for name in options["fields"]
        }
        assert not any(names_secret(model, name) for name in shown)


@pytest.mark.django_db
def test_a_password_hash_cannot_be_guessed_letter_by_letter(
    operator: OperatorFactory, organization: Organization
) -> None:
    create_rows(organization, 1)
    User.objects.update(password="argon2$abc")
    client = operator("admin")
    autocomplete = {"app_label": "shipments", "model_name": "apikey", "field_name": "user", "term": "argon2"}

    for guess in ("argon2", "wrong"):
        assert client.get("/admin/shipments/user/", {"password__startswith": guess}).status_code == 400
    assert not client.get("/admin/shipments/user/", {"q": "argon2"}).context["cl"].queryset
    assert client.get("/admin/autocomplete/", autocomplete).json()["results"] == []
    assert client.get("/admin/autocomplete/", autocomplete | {"field_name": "user__password"}).status_code == 403
