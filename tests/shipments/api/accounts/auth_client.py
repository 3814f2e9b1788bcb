"""Requests to `/api/auth/` with an access token or an API key as bearer."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import Client

from shipments.auth import tokens
from shipments.models import RefreshFamily, User


def post(client: Client, path: str, body: Any = None, token: str | None = None) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return client.post(f"/api/auth/{path}", body, content_type="application/json", headers=headers)


def get(client: Client, path: str, token: str) -> Any:
    return client.get(f"/api/auth/{path}", headers={"authorization": f"Bearer {token}"})


def delete(client: Client, path: str, token: str) -> Any:
    return client.delete(f"/api/auth/{path}", headers={"authorization": f"Bearer {token}"})


def issue_access_token(user: User) -> str:
    """Return an access token without the cost of a password."""
    now = datetime.now(UTC)
    login = RefreshFamily.objects.create(
        user=user, created_at=now, refreshed_at=now, expires_at=now + timedelta(days=1)
    )
    return tokens.issue_access(user_id=user.pk, login_id=login.pk, authz_version=user.authz_version, now=now)[0]
