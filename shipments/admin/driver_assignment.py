"""The page between choosing shipments in the admin's list and giving them another driver."""

from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from shipments.models import Driver, Shipment

_APPLY = "apply"


class DriverForm(forms.Form):
    """The driver, of those that the operator may see."""

    driver = forms.ModelChoiceField(Driver.objects.none())

    def __init__(self, admin_site: Any, request: HttpRequest) -> None:
        super().__init__(request.POST if _APPLY in request.POST else None)
        field: Any = self.fields["driver"]
        field.widget = AutocompleteSelect(Shipment._meta.get_field("driver"), admin_site)  # noqa: SLF001  Django's public name
        field.queryset = admin_site.get_model_admin(Driver).get_queryset(request)


def chosen_driver(
    admin_site: Any, request: HttpRequest, shipments: QuerySet[Any], most: int
) -> Driver | TemplateResponse:
    """Return the driver that the operator has chosen, else the page that asks for one.

    It keeps the choice of `most` + 1 shipments: enough for the action to refuse more than `most`.
    """
    form = DriverForm(admin_site, request)
    if form.is_valid():
        driver: Driver = form.cleaned_data["driver"]
        return driver
    keys = list(shipments.values_list("pk", flat=True)[: most + 1])
    context = admin_site.each_context(request) | {
        "title": "Assign a driver", "form": form, "media": form.media, "keys": keys,
        "checkbox": ACTION_CHECKBOX_NAME, "apply": _APPLY,
    }  # fmt: skip
    return TemplateResponse(request, "admin/assign_driver.html", context)
