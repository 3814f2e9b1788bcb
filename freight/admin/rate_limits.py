"""Rate limits in the admin, for superusers; a change takes effect in every process within two seconds."""

import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest

from monitoring import clock
from ratelimits import changes, policies
from ratelimits.models import KeyLimit, PolicyLimit
from shipments.admin.service_admin import ServiceAdmin, acting_subject, is_superuser
from shipments.models import ApiKey, User

if TYPE_CHECKING:
    PolicyForm = forms.ModelForm[PolicyLimit]
    KeyForm = forms.ModelForm[KeyLimit]
else:
    PolicyForm = KeyForm = forms.ModelForm


class PolicyLimitForm(PolicyForm):
    """An override of one policy."""

    policy = forms.ChoiceField()

    class Meta:
        model = PolicyLimit
        fields = ("policy", "most", "window")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, high in (("most", changes.MAX_REQUESTS), ("window", changes.MAX_WINDOW_SECONDS)):
            self.fields[name] = forms.IntegerField(
                label=self.fields[name].label, min_value=1, max_value=high, help_text=self.fields[name].help_text
            )
        choice: Any = self.fields.get("policy")
        if choice is not None:
            configured = PolicyLimit.objects.values_list("policy", flat=True)
            choice.choices = [
                (name, _default_label(name)) for name in policies.names() if name not in set(configured)
            ]


class KeyLimitForm(KeyForm):
    """A limit for one key, which the operator gives as an API key's prefix, an e-mail address or an id."""

    policy = forms.ChoiceField(choices=lambda: [(name, name) for name in policies.names() if name != "auth"])
    key = forms.CharField(
        max_length=254,
        help_text="An API key's beginning (frk_…) or id as key:…, an account's e-mail address or id as user:…,"
        " keys:<id of a user> for all its API keys, or address:<IP address>.",
    )

    class Meta:
        model = KeyLimit
        fields = ("policy", "key", "most")

    def clean_key(self) -> str:
        """Return the limiter's canonical key; raises ValidationError for one that matches nothing."""
        try:
            return changes.canonical_key(_limit_key(self.cleaned_data["key"].strip()))
        except changes.InvalidLimit as error:
            raise ValidationError(str(error)) from error


class _LimitAdmin(ServiceAdmin):
    """For superusers alone: a limit concerns the whole installation."""

    search_fields = ("policy",)

    def has_permission(self, request: HttpRequest, permission: str | None) -> bool:
        """Return whether the user is an active superuser."""
        return bool(request.user.is_active) and is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow deletion, which restores the configured limit."""
        return self.has_permission(request, None)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Delete each through the service, which sends the signal."""
        for row in queryset:
            self.delete_model(request, row)


@admin.register(PolicyLimit)
class PolicyLimitAdmin(_LimitAdmin):
    """Overrides of the policies that the environment configures."""

    form = PolicyLimitForm
    list_display = ("policy", "most", "window", "environment", "changed_at")
    ordering = ("policy",)

    @admin.display(description="in the environment")
    def environment(self, obj: PolicyLimit) -> str:
        """Return the limit that applies again once the row is deleted."""
        return _default_label(obj.policy) if obj.policy in settings.RATE_LIMITS else "not declared any more"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Offer the choice of a policy on a new row only."""
        return ("policy", "environment", "most", "window") if obj else ("policy", "most", "window")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep the policy of an existing row."""
        return ("policy", "environment") if obj else ()

    def save_model(self, request: HttpRequest, obj: PolicyLimit, form: Any, change: bool) -> None:  # noqa: FBT001  Django's signature
        """Set the override through the service."""
        obj.changed_at = clock.now()
        changes.set_policy(
            by=acting_subject(request, None),
            now=obj.changed_at,
            policy=obj.policy,
            most=obj.most,
            window=obj.window,
        )

    def delete_model(self, request: HttpRequest, obj: PolicyLimit) -> None:
        """Remove the override through the service."""
        changes.clear_policy(by=acting_subject(request, None), now=clock.now(), policy=obj.policy)


@admin.register(KeyLimit)
class KeyLimitAdmin(_LimitAdmin):
    """Limits of single keys, users and addresses."""

    form = KeyLimitForm
    list_display = ("key", "policy", "most", "changed_at")
    list_filter = ("policy",)
    search_fields = ("^key",)
    ordering = ("policy", "key")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show policy, key and number."""
        return ("policy", "key", "most")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep policy and key of an existing row."""
        return ("policy", "key") if obj else ()

    def save_model(self, request: HttpRequest, obj: KeyLimit, form: Any, change: bool) -> None:  # noqa: FBT001  Django's signature
        """Set the key's limit through the service."""
        obj.changed_at = clock.now()
        changes.set_key(
            by=acting_subject(request, None), now=obj.changed_at, policy=obj.policy, key=obj.key, most=obj.most
        )
        obj.pk = KeyLimit.objects.values_list("pk", flat=True).get(policy=obj.policy, key=obj.key)

    def delete_model(self, request: HttpRequest, obj: KeyLimit) -> None:
        """Remove the key's limit through the service: the policy applies again."""
        changes.clear_key(by=acting_subject(request, None), now=clock.now(), policy=obj.policy, key=obj.key)


def _default_label(name: str) -> str:
    policy = policies.default(name)
    return f"{name}: {policy.most} in {policy.window} s"


def _limit_key(raw_key: str) -> str:
    """Return `key:<id>` for an API key's prefix, `user:<id>` for an e-mail address, anything else unchanged.

    Raises ValidationError where there is not exactly one.
    """
    if re.fullmatch(r"frk_[\w-]{8}", raw_key):
        ids = list(ApiKey.objects.filter(prefix=raw_key, revoked_at=None).values_list("pk", flat=True)[:2])
        kind = "key"
    elif "@" in raw_key:
        ids = list(User.objects.filter(email=raw_key.lower()).values_list("pk", flat=True))
        kind = "user"
    else:
        return raw_key
    if len(ids) != 1:
        raise ValidationError("There is none, or more than one: give its id as it is in the key:… form.")
    return f"{kind}:{ids[0]}"
