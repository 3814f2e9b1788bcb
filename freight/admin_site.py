"""The AdminSite: restricted to ADMIN_ALLOWED_NETWORKS, with the product's own login, logout and password form.

What a page refuses (403) is audited.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from monitoring import addresses, clock
from shipments import services
from shipments.auth import subjects
from shipments.auth.request_origin import with_request_origin
from shipments.models import User
from shipments.services.accounts import logins


class FreightAdminSite(AdminSite):
    """Answers 404 outside ADMIN_ALLOWED_NETWORKS, before anything else."""

    site_header = "Freight"
    site_title = "Freight"
    index_title = "Administration"
    enable_nav_sidebar = False

    def admin_view(self, view: Callable[..., HttpResponseBase], cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002  Django's signature
        """Wrap a view of the site with the network check."""
        inner = super().admin_view(view, cacheable)

        def gated(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            _require_allowed_network(request)
            try:
                return inner(request, *args, **kwargs)
            except PermissionDenied as refusal:
                _record_denial(request, refusal)
                raise

        return gated

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Redirect to the login page, which has the limit on failed attempts and the audit."""
        _require_allowed_network(request)
        if request.user.is_authenticated:
            if self.has_permission(request):
                return redirect("admin:index")
            raise Http404
        return redirect_to_login(request.GET.get("next") or request.get_full_path(), settings.LOGIN_URL)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """End the session and write the logout to the audit, in one transaction."""
        user = request.user
        session_key = request.session.session_key
        subject = subjects.subject_of_user(user, session_key=session_key) if isinstance(user, User) else None
        with transaction.atomic():
            response = super().logout(request, extra_context)
            if subject is not None and request.method == "POST":
                logins.logout(by=with_request_origin(subject, request), now=clock.now())
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Redirect to the account's form, which changes the password through the service."""
        return redirect("admin:shipments_user_change", request.user.pk)


def _record_denial(request: HttpRequest, refusal: PermissionDenied) -> None:
    """Audit that a member was refused; a superuser without an organisation is refused nothing that has rows."""
    subject = subjects.subject_of_user(request.user) if isinstance(request.user, User) else None
    if subject is not None:
        services.record_denial(
            by=with_request_origin(subject, request), now=clock.now(), method=str(request.method),
            path=request.path, reason=str(refusal) or "The admin does not allow this.",
        )  # fmt: skip


def _require_allowed_network(request: HttpRequest) -> None:
    if not addresses.is_within(request.META, settings.ADMIN_ALLOWED_NETWORKS):
        raise Http404
