"""Every URL of the product."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import defaults

from freight import exports_page, imports_page, pages, reserved
from shipments.api import errors

urlpatterns = [
    path("", pages.board, name="board"),
    path("board.json", pages.board_json, name="board-document"),
    path("exports", exports_page.exports_page, name="exports-page"),
    path("imports", imports_page.imports_page, name="imports-page"),
    path("imports/template.csv", imports_page.import_template, name="imports-template"),
    path("login", pages.login, name="login-page"),
    path("logout", pages.logout, name="logout-page"),
    path("api/", include("monitoring.urls")),
    *reserved.placeholder_paths("ai"),
    *reserved.placeholder_paths("billing"),
    path("api/", include("exports.urls")),
    path("api/", include("shipments.api.urls")),
    path("admin/", admin.site.urls),
]


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    """This will answer a suspicious request: the API with a problem, everything else with a page."""
    return (errors.bad_request if _is_api(request) else defaults.bad_request)(request, exception)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    """This will answer what is not allowed."""
    return (errors.permission_denied if _is_api(request) else defaults.permission_denied)(request, exception)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """This will answer a path that nothing is at."""
    return (errors.not_found if _is_api(request) else defaults.page_not_found)(request, exception)


def handler500(request: HttpRequest) -> HttpResponse:
    """This will answer what nobody foresaw."""
    return (errors.server_error if _is_api(request) else defaults.server_error)(request)


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")
