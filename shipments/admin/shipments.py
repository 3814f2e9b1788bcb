"""Shipments in the admin: booked, amended, advanced and discarded through the services."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html_join

from monitoring import clock
from shipments import services
from shipments.admin import driver_assignment, shipment_search
from shipments.admin.service_admin import MAX_CHOSEN, ServiceAdmin, acting_subject, is_superuser, organization_id_of
from shipments.admin.tracking import OF_SHIPMENT
from shipments.domain import lifecycle, other_references
from shipments.domain.versions import Version
from shipments.models import Organization, Shipment

if TYPE_CHECKING:
    Form = forms.ModelForm[Shipment]
else:
    Form = forms.ModelForm

_PLAIN_COLUMNS = (
    "references", "pieces", "weight_kg", "volume_m3", "planned_pickup_at", "planned_delivery_at", "eta", "notes",
)  # fmt: skip
_CODE = "UN/LOCODE, for example NLRTM"
_FOR_STAFF = "For staff: stored in the audit trail. Customers and tracking links do not see it."
_NOTES = "For staff and drivers: customers and tracking links do not see them."


class _ShipmentForm(Form):
    """The fields of a shipment that the services accept."""

    origin_code = forms.CharField(label="Origin", max_length=6, required=False, help_text=_CODE)
    destination_code = forms.CharField(label="Destination", max_length=6, required=False, help_text=_CODE)

    class Meta:
        model = Shipment
        fields = ("customer", "driver", *_PLAIN_COLUMNS)
        help_texts = {"notes": _NOTES}

    def clean_references(self) -> dict[str, Any]:
        """Return the references in the form in which they are stored."""
        try:
            return other_references.parse(self.cleaned_data["references"] or {})
        except other_references.InvalidReferences as error:
            raise forms.ValidationError(str(error)) from error


class NewShipmentForm(_ShipmentForm):
    """The form that books a shipment."""

    asks_organization = False
    organization = forms.ModelChoiceField(Organization.objects.order_by("name"))
    reference = forms.CharField(max_length=64, required=False, help_text="Generated when left empty.")
    start = forms.ChoiceField(label="Status", choices=[(each, each) for each in lifecycle.INITIAL_STATES])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in ("origin_code", "destination_code"):
            self.fields[field].required = True
        if not self.asks_organization:
            del self.fields["organization"]


class ShipmentForm(_ShipmentForm):
    """The form that amends a shipment, and advances it where the lifecycle allows that."""

    move_to = forms.ChoiceField(
        required=False, help_text="A wrong status is corrected by voiding its event: below, History, Events."
    )
    reason = forms.CharField(required=False, max_length=200, help_text=_FOR_STAFF)
    version_read = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shipment = self.instance
        allowed_states = lifecycle.allowed_transitions(
            shipment.status,
            assigned=shipment.driver_id is not None,
            on_hold=lifecycle.has_flag(shipment.flags, "on_hold"),
        )
        move: Any = self.fields["move_to"]
        # The service decides. `in_transit` is offered without a driver too: this form may assign one.
        offered = [
            to for to in lifecycle.TRANSITIONS[shipment.status] if to in allowed_states or to == "in_transit"
        ]
        move.choices = [("", f"stay {shipment.status}"), *((to, to.replace("_", " ")) for to in offered)]
        self.initial.update(
            origin_code=shipment.origin.locode,
            destination_code=shipment.destination.locode,
            version_read=Version.of(shipment.pk, shipment.seq, shipment.updated_at).tag,
        )

    def clean_version_read(self) -> Version:
        """Return the version of which the form was shown."""
        version = Version.parse(self.cleaned_data["version_read"])
        if version is None:
            raise forms.ValidationError("Load this page again.")
        return version

    def clean(self) -> None:
        """Ask for the reason of a cancellation: who reads the audit later has nothing else."""
        super().clean()
        if self.cleaned_data.get("move_to") == "cancelled" and not self.cleaned_data.get("reason", "").strip():
            self.add_error("reason", "Say why the shipment is cancelled.")

    @property
    def changes(self) -> dict[str, Any]:
        """The columns that the operator has changed, as `services.amend` takes them."""
        cleaned = {name: self.cleaned_data[name] for name in self.changed_data}
        changes = {name: cleaned[name] for name in _PLAIN_COLUMNS if name in cleaned}
        if "references" in changes:
            changes["references"] = dict.fromkeys(self.initial["references"]) | changes["references"]
        for party in ("customer", "driver"):
            if party in cleaned:
                changes[f"{party}_id"] = cleaned[party].pk if cleaned[party] else None
        for end in ("origin", "destination"):
            if cleaned.get(f"{end}_code"):
                changes[end] = cleaned[f"{end}_code"]
        return changes


@admin.register(Shipment)
class ShipmentAdmin(ServiceAdmin):
    """The shipments that the operator may see."""

    write_permission = "shipments:write"
    list_display = ("reference", "status", "origin", "destination", "customer", "driver", "eta", "updated_at")
    list_filter = ("status", "created_at")
    list_select_related = ("origin", "destination", "customer", "driver")
    search_fields = ("reference",)  # shows the box; `get_search_results` searches
    search_help_text = shipment_search.HELP
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    sortable_by = ("status",)
    autocomplete_fields = ("customer", "driver")
    readonly_fields = (
        "reference", "status", "seq", "flags", "delivered_at", "created_at", "updated_at", "history",
    )  # fmt: skip
    actions = ("assign_driver", "discard")

    def rows_of_organization(self, rows: models.QuerySet[Any], subject: Any) -> models.QuerySet[Any]:
        """Keep the shipments that the subject may see."""
        return rows.visible_to(subject)  # type: ignore[attr-defined,no-any-return]  # a method of ShipmentQuerySet

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Leave discarded drafts to the log."""
        return super().get_queryset(request).filter(deleted_at=None)

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Add the organisation for those who see several."""
        return ("organization", *self.list_filter) if is_superuser(request) else self.list_filter

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Search references, customers and drivers; a text that no index answers finds nothing, and is told so."""
        text = search_term.strip()
        if not text:
            return queryset, False
        if not shipment_search.is_searchable(text):
            self.message_user(request, "Search for three letters or digits in a row, or more.", messages.WARNING)
            return queryset.none(), False
        return shipment_search.search(
            queryset, *shipment_search.visible_parties(self.admin_site, request), text
        ), False

    @admin.display(description="history")
    def history(self, obj: Shipment) -> str:
        """Return links to the shipment's events, its part of the audit trail, and what else belongs to it."""
        own = urlencode({OF_SHIPMENT: obj.pk})
        audit = {
            "organization__id__exact": obj.organization_id, "entity__exact": "shipment",
            "entity_id__exact": obj.reference,
        }  # fmt: skip
        return format_html_join(
            " · ",
            '<a href="{}?{}">{}</a>',
            (
                (reverse("admin:shipments_shipmentevent_changelist"), own, "Events"),
                (reverse("admin:shipments_auditentry_changelist"), urlencode(audit), "Audit"),
                (reverse("admin:shipments_checkpoint_changelist"), own, "Observations"),
                (reverse("admin:shipments_proofofdelivery_changelist"), own, "Proofs of delivery"),
                (reverse("admin:shipments_trackinglink_changelist"), own, "Tracking links"),
            ),
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002  Django's signature
        """Return the form for booking or the one for amending."""
        form: Any = super().get_form(
            request, obj, change, **kwargs | {"form": ShipmentForm if obj else NewShipmentForm}
        )
        # Django builds a class for each request, so the attribute is not shared between operators.
        form.asks_organization = is_superuser(request)
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the field sets of the form."""
        party_fields = ["origin_code", "destination_code", "customer", "driver"]
        if not self.has_change_permission(request):
            party_fields[:2] = ["origin", "destination"]
        if obj is None:
            own = ["organization"] if is_superuser(request) else []
            return [(None, {"fields": [*own, "reference", "start", *party_fields, *_PLAIN_COLUMNS]})]
        moving = ["move_to", "reason", "version_read"] if self.has_change_permission(request) else []
        return [
            (None, {"fields": ["reference", "status", *moving]}),
            ("What it says of itself", {"fields": [*party_fields, *_PLAIN_COLUMNS]}),
            ("Record", {"fields": ["seq", "flags", "delivered_at", "created_at", "updated_at", "history"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return nothing for a new shipment: its reference can be typed."""
        return self.readonly_fields if obj else ()

    def save_model(self, request: HttpRequest, obj: Shipment, form: Any, change: bool) -> None:  # noqa: FBT001  Django's signature
        """Book, or amend and advance, through the services."""
        if not change:
            self._book(request, obj, form)
            return
        by = acting_subject(request, obj.organization_id)
        at = clock.now()
        read: Version | None = form.cleaned_data["version_read"]
        if form.changes:
            services.amend(by=by, now=at, reference=obj.reference, changes=form.changes, expected_version=read)
            read = None  # the row stays locked until the end of the transaction
        if form.cleaned_data["move_to"]:
            services.advance(
                by=by, now=at, reference=obj.reference, to=form.cleaned_data["move_to"],
                reason=form.cleaned_data["reason"], expected_version=read,
            )  # fmt: skip

    def _book(self, request: HttpRequest, obj: Shipment, form: Any) -> None:
        cleaned = form.cleaned_data
        own_organization_id = organization_id_of(request.user)
        organization = cleaned.get("organization")
        # Without an ETA the service takes the planned delivery.
        details = {name: cleaned[name] for name in _PLAIN_COLUMNS if name != "eta" or cleaned[name]}
        booked = services.book(
            by=acting_subject(request, organization.pk if organization else own_organization_id),
            now=clock.now(),
            reference=cleaned["reference"] or None,
            status=cleaned["start"],
            origin=cleaned["origin_code"],
            destination=cleaned["destination_code"],
            customer_id=cleaned["customer"].pk if cleaned["customer"] else None,
            driver_id=cleaned["driver"].pk if cleaned["driver"] else None,
            **details,
        )
        obj.__dict__.update(booked.__dict__)

    @admin.action(description="Assign the chosen shipments to a driver…")
    def assign_driver(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> HttpResponse | None:
        """Ask for a driver, then give it to each shipment; what a service refuses is told for each."""
        driver = driver_assignment.chosen_driver(self.admin_site, request, queryset, MAX_CHOSEN)
        if isinstance(driver, HttpResponse):
            return driver
        at, changes = clock.now(), {"driver_id": driver.pk}
        self.apply_to_each(
            request,
            queryset,
            lambda row: services.amend(
                by=acting_subject(request, row.organization_id), now=at, reference=row.reference, changes=changes
            ),
            f"assigned to {driver}",
        )
        return None

    @admin.action(description="Discard the chosen drafts")
    def discard(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Delete drafts; shipments in any other status are refused."""
        at = clock.now()
        self.apply_to_each(
            request,
            queryset,
            lambda row: services.discard(
                by=acting_subject(request, row.organization_id), now=at, reference=row.reference
            ),
            "discarded",
        )
