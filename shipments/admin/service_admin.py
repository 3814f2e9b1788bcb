"""ServiceAdmin: the base of every admin page. Whose rows it shows, as which subject it acts, how it refuses."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest, HttpResponseRedirect

from monitoring import clock
from shipments import services
from shipments.admin.pagination import EstimatingPaginator
from shipments.admin.secret_columns import names_secret, secret_columns_of
from shipments.auth import subjects
from shipments.auth.request_origin import with_request_origin
from shipments.auth.subjects import Forbidden, Subject
from shipments.domain.lifecycle import IllegalTransition
from shipments.models import User
from shipments.services.accounts import api_keys, members
from shipments.services.accounts.passwords import HashingBusy

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin

# The refusals of the services, shown as messages; every other exception is a bug.
REFUSALS = (
    services.ShipmentNotFound,
    services.StaleWrite,
    services.DuplicateReference,
    services.NotADraft,
    services.InvalidArgument,
    services.UnknownPlace,
    services.DriverNotFound,
    services.CustomerNotFound,
    services.CustomerInUse,
    services.CheckpointNotFound,
    services.EventNotFound,
    services.NotVoidable,
    services.LinkNotFound,
    members.AccountNotFound,
    members.DuplicateAccount,
    HashingBusy,
    api_keys.ApiKeyNotFound,
    IllegalTransition,
    Forbidden,
)
MAX_CHOSEN: Final = 1_000


def subject_of(request: HttpRequest) -> Subject | None:
    """Return the subject of the operator's membership, None for a superuser of no organisation."""
    user = request.user
    subject = subjects.subject_of_user(user) if isinstance(user, User) else None
    return with_request_origin(subject, request) if subject else None


def acting_subject(request: HttpRequest, organization_id: Any) -> Subject:
    """Return the subject as which the operator changes something of an organisation.

    That is its own membership there; a superuser acts in any, as the person that it is.
    Raises PermissionDenied for everybody else.
    """
    subject = subject_of(request)
    user = request.user
    if not isinstance(user, User):
        raise PermissionDenied
    if user.is_superuser:
        return with_request_origin(subjects.superuser_subject(user, organization_id), request)
    if subject is None or subject.organization_id != organization_id:
        raise PermissionDenied
    return subject


def is_superuser(request: HttpRequest) -> bool:
    """Tell whether the operator runs the whole installation."""
    return bool(getattr(request.user, "is_superuser", False))


def organization_id_of(user: object) -> Any:
    """Return the organisation of a user's membership, None where it has none."""
    return getattr(getattr(user, "membership", None), "organization_id", None)


class ServiceAdmin(Base):
    """A page over one model that writes through the services alone.

    `read_permission` and `write_permission` are what the page needs; without the latter it is read only.
    """

    read_permission: ClassVar[str] = "shipments:read"
    write_permission: ClassVar[str | None] = None
    fields: ClassVar[tuple[str, ...] | None] = None
    search_fields: ClassVar[tuple[str, ...]] = ()
    paginator = EstimatingPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 200

    def has_permission(self, request: HttpRequest, permission: str | None) -> bool:
        """Tell whether the operator's role, or being a superuser, allows it."""
        if permission is None or not request.user.is_active:
            return False
        if is_superuser(request):
            return True
        subject = subject_of(request)
        return subject is not None and subject.has_permission(permission)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Tell whether the index lists the page."""
        return self.has_permission(request, self.read_permission)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the rows may be read."""
        return self.has_permission(request, self.read_permission)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether a row may be added."""
        return self.has_permission(request, self.write_permission)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether a row may be changed."""
        return self.has_permission(request, self.write_permission)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: rows are deleted by actions, through their services."""
        return False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Keep the rows of the operator's organisation; a superuser sees all."""
        rows = super().get_queryset(request)
        if is_superuser(request):
            return rows
        subject = subject_of(request)
        return self.rows_of_organization(rows, subject) if subject else rows.none()

    def rows_of_organization(self, rows: models.QuerySet[Any], subject: Subject) -> models.QuerySet[Any]:
        """Keep the rows of the subject's organisation."""
        return rows.filter(organization_id=subject.organization_id)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Refuse a query string that filters by a secret column, as Django's own page of users does."""
        return not names_secret(self.model, lookup) and super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]  # the stubs want a request

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Refuse `_to_field`, with which a popup shows a column's values, for a secret column."""
        return not names_secret(self.model, to_field) and super().to_field_allowed(request, to_field)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer and accept only rows that the operator may see."""
        model = db_field.remote_field.model
        if self.admin_site.is_registered(model) and "queryset" not in kwargs:
            kwargs["queryset"] = self.admin_site.get_model_admin(model).get_queryset(request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show a service's refusal as a message on the form; the transaction has been rolled back."""
        try:
            if request.method == "POST":
                self.before_transaction(request, *args)
            return super().changeform_view(request, *args, **kwargs)
        except REFUSALS as refusal:
            _record_denial(request, refusal)
            self.message_user(request, _message_of(refusal), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def before_transaction(self, request: HttpRequest, object_id: str | None = None, *_: Any) -> None:
        """Do what takes long, before Django opens the transaction of the form; REFUSALS are shown as messages."""

    def apply_to_each(
        self, request: HttpRequest, rows: models.QuerySet[Any], action: Callable[[Any], object], verb: str
    ) -> None:
        """Act on every chosen row, each in its own transaction, and report how many succeeded.

        More than MAX_CHOSEN are refused: the request would take longer than anybody waits for it.
        """
        chosen = list(rows[: MAX_CHOSEN + 1])
        if len(chosen) > MAX_CHOSEN:
            self.message_user(request, f"Choose at most {MAX_CHOSEN:,} at a time.", messages.ERROR)
            return
        succeeded = 0
        for row in chosen:
            try:
                with transaction.atomic():
                    action(row)
            except REFUSALS as refusal:
                _record_denial(request, refusal)
                self.message_user(request, f"{row}: {_message_of(refusal)}", messages.ERROR)
            else:
                succeeded += 1
        if succeeded:
            self.message_user(request, f"{succeeded} {verb}.", messages.SUCCESS)

    def get_actions(self, request: HttpRequest) -> Any:
        """Offer no action, and so run none, to operators who may only read."""
        return super().get_actions(request) if self.has_permission(request, self.write_permission) else {}


class RecordAdmin(ServiceAdmin):
    """A read-only page: the database refuses changes of these rows anyway."""

    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False; `write_permission` is that of the actions."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return every field that is not secret."""
        secret = secret_columns_of(self.model)
        return [field.name for field in self.opts.fields if field.name not in secret]


def _record_denial(request: HttpRequest, refusal: Exception) -> None:
    """Audit a refusal for want of rights; called outside of the transaction that it has rolled back."""
    if isinstance(refusal, Forbidden):
        services.record_denial(
            by=subject_of(request) or acting_subject(request, None), now=clock.now(), method=str(request.method),
            path=request.path, reason=str(refusal), user_id=getattr(refusal, "user_id", None),
        )  # fmt: skip


def _message_of(refusal: Exception) -> str:
    return str(refusal) or "There is no such record here."
