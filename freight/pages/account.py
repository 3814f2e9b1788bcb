"""The pages: the live board, logging in and out."""

from typing import Final

from django.conf import settings
from django.contrib.auth import login as start_session
from django.contrib.auth import logout as end_session
from django.contrib.auth.decorators import login_required
from django.contrib.staticfiles import finders
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from freight.pages import board as boards
from freight.pages import navigation
from freight.pages.board import BoardFilter
from monitoring import addresses
from shipments.auth import subjects
from shipments.services.accounts import logins

# The contract's accounts of the demo; offered on the login page under DEMO alone.
DEMO_PASSWORD: Final = "freight-demo"
DEMO_ACCOUNTS: Final = (
    ("dispatcher@demo.test", "Dispatcher", "runs the shipments"),
    ("admin@demo.test", "Administrator", "everything, and /admin"),
    ("driver@demo.test", "Driver", "its own assignments"),
    ("customer@demo.test", "Customer", "its account's freight"),
    ("auditor@demo.test", "Auditor", "reads everything"),
    ("dispatcher@rival.test", "Rival dispatcher", "another organisation"),
)
MAX_FIELD_LENGTH: Final = 254


@require_GET
@never_cache
@login_required
def board(request: HttpRequest) -> HttpResponse:
    """Show the live board, whole at first paint; its script keeps it so."""
    viewer = navigation.viewer_of(request)
    board_filter = BoardFilter.from_query(request.GET.get("status", ""), request.GET.get("q", ""))
    rows = boards.board_rows(viewer, board_filter)
    document = boards.board_document(viewer, rows)
    return render(
        request,
        "board/board.html",
        {
            **navigation.context_for(viewer, "board"),
            "choice": board_filter,
            "lines": rows,
            "document": document,
            "total": sum(document["counts"].values()),
            # Built at start, from a package; the map does without where it is missing.
            "coast": finders.find("map/world.json"),
            "stages": boards.stages(document["counts"], board_filter),
        },
    )


@require_GET
@never_cache
def board_json(request: HttpRequest) -> HttpResponse:
    """Return the board's rows, movers and counts as JSON, or 401 where the session has ended."""
    if not request.user.is_authenticated:
        return JsonResponse({"title": "The session has ended."}, status=401)
    viewer = navigation.viewer_of(request)
    board_filter = BoardFilter.from_query(request.GET.get("status", ""), request.GET.get("q", ""))
    return JsonResponse(boards.board_document(viewer, boards.board_rows(viewer, board_filter)))


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Start a session for an e-mail address and password, then go where the visitor was headed."""
    target = _safe_redirect(request, request.POST.get("next") or request.GET.get("next") or "")
    if request.method == "GET":
        return redirect(target) if request.user.is_authenticated else _login_form(request, target)
    email = request.POST.get("email", "").strip()[:MAX_FIELD_LENGTH]
    password = request.POST.get("password", "")[:MAX_FIELD_LENGTH]
    if "\0" in email + password or not (email and password):
        return _login_form(request, target, email=email, problem="Enter your e-mail address and your password.")
    origin = logins.Origin(address=addresses.client_address(request.META), request_id=_request_id(request))
    try:
        user = logins.authenticate(email=email, password=password, origin=origin, now=timezone.now())
    except logins.BadCredentials:
        problem = "This e-mail address and password do not go together."
        return _login_form(request, target, email=email, problem=problem)
    except logins.TooManyFailures as error:
        minutes = max(1, round(error.retry_after / 60))
        problem = f"Too many failed attempts. Try again in about {minutes} min."
        response = _login_form(request, target, email=email, problem=problem, status=429)
        response["Retry-After"] = str(error.retry_after)
        return response
    start_session(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    return redirect(target)


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """End the session and go to the login page."""
    viewer = None
    if request.user.is_authenticated:
        viewer = subjects.subject_of_user(request.user, session_key=request.session.session_key)
    with transaction.atomic():
        end_session(request)
        if viewer is not None:
            actor = viewer.with_request_origin(
                address=addresses.client_address(request.META), request_id=_request_id(request)
            )
            logins.logout(by=actor, now=timezone.now())
    return redirect("login-page")


def _request_id(request: HttpRequest) -> str:
    return str(getattr(request, "request_id", ""))


def _safe_redirect(request: HttpRequest, target: str) -> str:
    """Return the target where it stays on this site, else the board."""
    is_same_site = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if is_same_site else reverse("board")


def _login_form(
    request: HttpRequest, target: str, *, email: str = "", problem: str = "", status: int = 401
) -> HttpResponse:
    return render(
        request,
        "accounts/login.html",
        {
            "next": target,
            "email": email,
            "problem": problem,
            "demo_accounts": DEMO_ACCOUNTS if settings.DEMO else (),
            "demo_password": DEMO_PASSWORD,
        },
        status=status if problem else 200,
    )
