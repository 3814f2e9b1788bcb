"""The routes below `/api/auth/`."""

from django.urls import path

from shipments.api.accounts import auth_views as views

urlpatterns = [
    path("login", views.LoginView.as_view(), name="login"),
    path("refresh", views.RefreshView.as_view(), name="refresh"),
    path("logout", views.LogoutView.as_view(), name="logout"),
    path("ws-ticket", views.SocketTicketView.as_view(), name="ws-ticket"),
    path("me", views.MeView.as_view(), name="me"),
    path("api-keys", views.ApiKeysView.as_view(), name="api-keys"),
    path("api-keys/<uuid:key_id>", views.ApiKeyView.as_view(), name="api-key"),
]
