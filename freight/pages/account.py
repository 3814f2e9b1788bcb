"""The account pages: log in, log out."""

from typing import Final

from django.conf import settings
from django.contrib.auth import login as start_session
from django.contrib.auth import logout as end_session
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from monitoring import addresses, clock
from shipments.auth import device_cookies, subjects
from shipments.auth.request_origin import with_request_origin
from shipments.demo.accounts import ACCOUNTS, PASSWORD
from shipments.services.accounts import logins

MAX_EMAIL_LENGTH: Final = 254
MAX_PASSWORD_LENGTH: Final = 1024


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Show the login form; on POST start a session and redirect to `next`.

    Answers 401 with the form for wrong credentials, 403 for an account without an organisation, 429 with
    Retry-After after too many failures and where too many log in at once.
    """
    target = _safe_redirect(request, request.POST.get("next") or request.GET.get("next") or "")
    if request.method == "GET":
        return redirect(target) if request.user.is_authenticated else _login_form(request, target)
    email = request.POST.get("email", "").strip()[:MAX_EMAIL_LENGTH]
    password = request.POST.get("password", "")[:MAX_PASSWORD_LENGTH]
    if "\0" in email + password or not (email and password):
        return _login_form(request, target, email=email, problem="Enter your e-mail address and your password.")
    now = clock.now()
    origin = logins.Origin(
        address=addresses.client_address(request.META),
        request_id=_request_id(request),
        device_cookie=request.COOKIES.get(device_cookies.NAME, ""),
    )
    try:
        user = logins.authenticate(email=email, password=password, origin=origin, now=now)
    except logins.BadCredentials:
        problem = "This e-mail address and password do not go together."
        return _login_form(request, target, email=email, problem=problem)
    except logins.NoOrganization as error:
        return _login_form(request, target, email=email, problem=str(error), status=403)
    except logins.TooManyFailures as error:
        minutes = max(1, round(error.retry_after / 60))
        problem = f"Too many failed attempts. Try again in about {minutes} min."
        return _login_refused(request, target, email=email, problem=problem, retry_after=error.retry_after)
    except logins.HashingBusy as busy:
        return _login_refused(request, target, email=email, problem=str(busy), retry_after=busy.retry_after)
    start_session(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    response = redirect(target)
    device_cookies.remember(response, user, now=now, shown=origin.device_cookie, path=request.path)
    return response


def no_organization(request: HttpRequest) -> HttpResponse:
    """Send a superuser to the admin where it may go there; tell others of no organisation what to do."""
    is_superuser = bool(getattr(request.user, "is_superuser", False))
    if is_superuser and addresses.is_within(request.META, settings.ADMIN_ALLOWED_NETWORKS):
        return redirect("admin:index")
    return render(request, "account/no_organization.html", {"is_superuser": is_superuser}, status=403)


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """End the session, write the logout to the audit in the same transaction, and redirect to the login page."""
    viewer = None
    if request.user.is_authenticated:
        viewer = subjects.subject_of_user(request.user, session_key=request.session.session_key)
    with transaction.atomic():
        end_session(request)
        if viewer is not None:
            logins.logout(by=with_request_origin(viewer, request), now=clock.now())
    return redirect("login-page")


def _request_id(request: HttpRequest) -> str:
    return str(getattr(request, "request_id", ""))


def _safe_redirect(request: HttpRequest, target: str) -> str:
    """Return the target where it stays on this site, else the board."""
    is_same_site = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if is_same_site else reverse("board")


def _login_refused(
    request: HttpRequest, target: str, *, email: str, problem: str, retry_after: int
) -> HttpResponse:
    response = _login_form(request, target, email=email, problem=problem, status=429)
    response["Retry-After"] = str(retry_after)
    return response


def _login_form(
    request: HttpRequest, target: str, *, email: str = "", problem: str = "", status: int = 401
) -> HttpResponse:
    return render(
        request,
        "account/login.html",
        {
            "next": target,
            "email": email,
            "problem": problem,
            # Their password is public: they exist under DEMO alone.
            "demo_accounts": ACCOUNTS if settings.DEMO else (),
            "demo_password": PASSWORD,
        },
        status=status if problem else 200,
    )
