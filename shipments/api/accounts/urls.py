"""The routes below `/api/auth/`."""

from django.urls import path

from shipments.api.accounts import api_key_views, auth_views
from shipments.parsing import path_converters as path_converters  # registers them

urlpatterns = [
    path("login", auth_views.LoginView.as_view(), name="login"),
    path("refresh", auth_views.RefreshView.as_view(), name="refresh"),
    path("logout", auth_views.LogoutView.as_view(), name="logout"),
    path("ws-ticket", auth_views.SocketTicketView.as_view(), name="ws-ticket"),
    path("me", auth_views.MeView.as_view(), name="me"),
    path("api-keys", api_key_views.ApiKeysView.as_view(), name="api-keys"),
    path("api-keys/<id:key_id>", api_key_views.ApiKeyView.as_view(), name="api-key"),
]
