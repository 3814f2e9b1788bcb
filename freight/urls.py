"""Every URL of the product, and its error handlers."""

import re
from typing import Final

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.urls import include, path
from django.views import defaults

from freight import placeholders
from freight.pages import account, board, exports, imports, navigation
from monitoring.health import outages
from shipments.api.http import errors

# Also with slashes too many: such a client is a program, and no page helps it.
_API: Final = re.compile("/+api(/|$)")

urlpatterns = [
    path("", board.board, name="board"),
    path("board.json", board.board_json, name="board-document"),
    path("exports", exports.exports_page, name="exports-page"),
    path("imports", imports.imports_page, name="imports-page"),
    path("imports/template.csv", imports.import_template, name="imports-template"),
    path("login", account.login, name="login-page"),
    path("logout", account.logout, name="logout-page"),
    path("api/", include("monitoring.urls")),
    *placeholders.placeholder_paths("ai"),
    *placeholders.placeholder_paths("billing"),
    path("api/", include("exports.urls")),
    path("api/", include("shipments.api.urls")),
    path("admin/", admin.site.urls),
]


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400: below /api/ an RFC 9457 problem, elsewhere a page."""
    return (errors.bad_request if _is_api(request) else defaults.bad_request)(request, exception)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403; a user without an organisation is told where to go."""
    if isinstance(exception, navigation.NoOrganization) and not _is_api(request):
        return account.no_organization(request)
    return (errors.permission_denied if _is_api(request) else defaults.permission_denied)(request, exception)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404."""
    return (errors.not_found if _is_api(request) else defaults.page_not_found)(request, exception)


def handler500(request: HttpRequest) -> HttpResponse:
    """Answer 500; 503 where the database does not serve."""
    if _is_api(request):
        return errors.server_error(request)
    if error := errors.outage_error():
        context = {"sentence": outages.explain(error).detail}
        headers = {"Retry-After": str(errors.RETRY_SECONDS)}
        return HttpResponse(loader.render_to_string("503.html", context), status=503, headers=headers)
    return defaults.server_error(request)


def _is_api(request: HttpRequest) -> bool:
    return _API.match(request.path_info) is not None
