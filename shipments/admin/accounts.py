"""Accounts, API keys and organisations in the admin. Secrets of keys are not stored, so no page shows one."""

import uuid
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import Group
from django.db import models
from django.http import HttpRequest

from monitoring import clock
from shipments.admin.service_admin import (
    RecordAdmin,
    ServiceAdmin,
    acting_subject,
    is_superuser,
    organization_id_of,
)
from shipments.models import ApiKey, Customer, Driver, Organization, Role, User
from shipments.services.accounts import api_keys, members, organizations, passwords
from shipments.services.accounts.account_levels import refusal_reason

if TYPE_CHECKING:
    Form = forms.ModelForm[User]
else:
    Form = forms.ModelForm

admin.site.unregister(Group)  # permissions come from the role, never from a group


class UserForm(Form):
    """An account with its membership."""

    # Both are set by `get_form` on the class that Django builds for each request.
    asks_organization = False
    parties_organization_id: uuid.UUID | None = None  # None: of any organisation

    organization = forms.ModelChoiceField(Organization.objects.order_by("name"))
    role = forms.ChoiceField(choices=Role)
    customer = forms.ModelChoiceField(
        Customer.objects.order_by("name"), required=False, help_text="For the role customer."
    )
    driver = forms.ModelChoiceField(
        Driver.objects.order_by("name"), required=False, help_text="For the role driver."
    )
    password_new = forms.CharField(
        label="New password",
        required=False,
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Ends every login of the account.",
    )

    class Meta:
        model = User
        fields = ("email", "name", "is_active", "is_staff")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        membership = getattr(self.instance, "membership", None)
        if membership is not None:
            self.initial.update(role=membership.role, customer=membership.customer_id, driver=membership.driver_id)
        if not self.asks_organization:
            self.fields.pop("organization", None)
        for party in ("customer", "driver"):
            field: Any = self.fields.get(party)
            if field is not None and self.parties_organization_id is not None:
                field.queryset = field.queryset.of_organization(self.parties_organization_id)

    def clean_email(self) -> str:
        """Return the address as it is stored."""
        return str(self.cleaned_data["email"]).strip().lower()

    def party_id(self, party: str) -> uuid.UUID | None:
        """Return the id of the chosen customer or driver."""
        party_row = self.cleaned_data.get(party)
        return party_row.pk if party_row else None


class _FoundByLimitKey(ServiceAdmin):
    """Rows that are found by their key in rate limits, too, as `topKeys` shows it: `user:<id>`."""

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """Search for the id behind the kind of key."""
        kind, _, identifier = search_term.strip().partition(":")
        return super().get_search_results(
            request, queryset, identifier if kind in {"user", "key", "keys"} else search_term
        )


@admin.register(User)
class UserAdmin(_FoundByLimitKey):
    """Accounts: people and services that can log in."""

    read_permission = write_permission = "accounts:write"
    form = UserForm
    list_display = ("email", "name", "role", "organization", "is_active", "is_staff", "last_login")
    list_filter = ("membership__role", "is_active", "is_staff")
    list_select_related = ("membership__organization",)
    search_fields = ("email", "name", "=id")
    search_help_text = "An e-mail, a name, or an id as `topKeys` shows it (user:…)"
    ordering = ("email",)
    actions = ("remove",)

    @admin.display(ordering="membership__role")
    def role(self, obj: User) -> str:
        """Return the role of the account."""
        membership = getattr(obj, "membership", None)
        return membership.role if membership else ("superuser" if obj.is_superuser else "—")

    @admin.display(ordering="membership__organization__name")
    def organization(self, obj: User) -> str:
        """Return the organisation of the account."""
        membership = getattr(obj, "membership", None)
        return str(membership.organization) if membership else "—"

    def rows_of_organization(self, rows: models.QuerySet[Any], subject: Any) -> models.QuerySet[Any]:
        """Keep the members of the subject's organisation."""
        return rows.filter(membership__organization_id=subject.organization_id)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Leave accounts without a membership to the command line, and those above the operator to their equals."""
        return super().has_change_permission(request, obj) and (obj is None or not _read_only_reason(request, obj))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Say above the fields why they are read only."""
        reason = _read_only_reason(request, obj) if obj else ""
        return [(None, {"fields": self.get_fields(request, obj), "description": reason})]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields that the operator may set."""
        if not self.has_change_permission(request, obj):
            return ("email", "name", "role", "organization", "is_active", "is_staff", "last_login")
        root = is_superuser(request)
        first = ("organization",) if root and obj is None else ()
        last = ("is_active", *(("is_staff",) if root else ())) if obj else ()
        return (*first, "email", "name", "role", "customer", "driver", "password_new", *last)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return nothing where there is a form: its own fields have the names of columns."""
        return () if self.has_change_permission(request, obj) else self.get_fields(request, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002  Django's signature
        """Offer the customers and drivers of the account's organisation."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.asks_organization = is_superuser(request) and obj is None
        form.parties_organization_id = None if form.asks_organization else organization_id_of(obj or request.user)
        return form

    def before_transaction(self, request: HttpRequest, object_id: str | None = None, *_: Any) -> None:
        """Hash a new password: that must not hold a transaction."""
        password = request.POST.get("password_new", "")
        if not password or not self.has_permission(request, self.write_permission):
            return
        typed = User(email=request.POST.get("email", ""), name=request.POST.get("name", ""))
        user = self.get_object(request, unquote(object_id)) if object_id else typed
        if user is not None:
            request.hashed_password = passwords.hash_new(password, user)  # type: ignore[attr-defined]  # our attribute

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:  # noqa: FBT001  Django's signature
        """Create or change the account through the services, one call for each kind of change."""
        if change:
            self._save_changes(request, obj, form)
            return
        cleaned = form.cleaned_data
        own_organization_id = organization_id_of(request.user)
        organization = cleaned.get("organization")
        user = members.create(
            by=acting_subject(request, organization.pk if organization else own_organization_id),
            now=clock.now(),
            email=cleaned["email"],
            name=cleaned["name"],
            role=cleaned["role"],
            password=getattr(request, "hashed_password", None),
            customer_id=form.party_id("customer"),
            driver_id=form.party_id("driver"),
        )
        obj.__dict__.update(user.__dict__)

    def _save_changes(self, request: HttpRequest, obj: User, form: Any) -> None:
        cleaned = form.cleaned_data
        arguments: dict[str, Any] = {
            "by": acting_subject(request, obj.membership.organization_id), "now": clock.now(), "user_id": obj.pk,
        }  # fmt: skip
        changed = set(form.changed_data)
        if changed & {"email", "name"}:
            members.update_profile(**arguments, email=cleaned["email"], name=cleaned["name"])
        if changed & {"role", "customer", "driver"}:
            members.set_role(
                **arguments,
                role=cleaned["role"],
                customer_id=form.party_id("customer"),
                driver_id=form.party_id("driver"),
            )
        if (hashed := getattr(request, "hashed_password", None)) is not None:
            members.set_password(**arguments, password=hashed)
        if "is_staff" in changed:
            members.set_staff(**arguments, staff=cleaned["is_staff"])
        if "is_active" in changed:
            members.set_active(**arguments, active=cleaned["is_active"])

    @admin.action(description="Remove the chosen members from their organisation")
    def remove(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """End memberships; the accounts stay."""
        at = clock.now()
        self.apply_to_each(
            request,
            queryset.filter(membership__isnull=False),
            lambda row: members.remove(
                by=acting_subject(request, row.membership.organization_id), now=at, user_id=row.pk
            ),
            "removed",
        )


def _read_only_reason(request: HttpRequest, user: User) -> str:
    """Return why the operator may not change the account, empty where it may."""
    if not hasattr(user, "membership"):
        return "This account is in no organisation: it is changed on the command line."
    return refusal_reason(acting_subject(request, user.membership.organization_id), user)


@admin.register(ApiKey)
class ApiKeyAdmin(_FoundByLimitKey, RecordAdmin):
    """API keys: created by the API alone, where the secret is shown once; revoked here too."""

    read_permission = "accounts:write"
    write_permission = "accounts:write"
    fields = (
        "name", "prefix", "scopes", "user", "organization",
        "created_at", "expires_at", "last_used_at", "revoked_at",
    )  # fmt: skip
    list_display = ("name", "prefix", "user", "organization", "scopes", "last_used_at", "expires_at", "revoked_at")
    list_filter = ("revoked_at", "expires_at")
    list_select_related = ("user", "organization")
    search_fields = ("^name", "^prefix", "=user__email", "=id", "=user__id")
    search_help_text = "A name, a prefix, an owner's e-mail, or an id as `topKeys` shows it (key:…, user:…)"
    actions = ("revoke",)

    @admin.action(description="Revoke the chosen keys")
    def revoke(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """End keys at once."""
        at = clock.now()
        self.apply_to_each(
            request,
            queryset,
            lambda row: api_keys.revoke(by=acting_subject(request, row.organization_id), now=at, key_id=row.pk),
            "revoked",
        )


@admin.register(Organization)
class OrganizationAdmin(ServiceAdmin):
    """Carriers and brokers; created by superusers."""

    list_display = ("name", "slug", "created_at")
    search_fields = ("^name", "^slug")
    ordering = ("name",)
    fields = ("name", "slug")

    def rows_of_organization(self, rows: models.QuerySet[Any], subject: Any) -> models.QuerySet[Any]:
        """Keep the subject's own organisation."""
        return rows.filter(pk=subject.organization_id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether the operator is a superuser."""
        return is_superuser(request)

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:  # noqa: FBT001  Django's signature
        """Create the organisation through the service."""
        by = acting_subject(request, None)
        obj.__dict__.update(organizations.create(by=by, now=clock.now(), name=obj.name, slug=obj.slug).__dict__)
