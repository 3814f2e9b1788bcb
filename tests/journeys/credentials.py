"""Credentials of fresh members, made without the cost of a password hash; and the ends of sockets."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import websockets
from django.conf import settings
from django.test import Client

from shipments.auth import bearers, subjects, tokens
from shipments.auth.subjects import Subject
from shipments.models import Organization, RefreshFamily, User
from shipments.services.accounts import api_keys, socket_tickets
from tests import factories
from tests.journeys.clients import SocketClient


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class MemberCredentials:
    """A member with a login, an API key and the session of a page."""

    user: User
    refresh_family: RefreshFamily
    api_key: str
    session_client: Client

    @property
    def subject(self) -> Subject:
        """The subject of the login's access token."""
        subject = bearers.authenticate(self.token(), now=now())
        assert subject is not None
        return subject

    def token(self, *, life: timedelta | None = None) -> str:
        """Return an access token of the login, which ends after `life`."""
        full = timedelta(minutes=settings.JWT_ACCESS_MINUTES)
        version = User.objects.get(pk=self.user.pk).authz_version
        return tokens.issue_access(
            user_id=self.user.pk,
            login_id=self.refresh_family.pk,
            authz_version=version,
            now=now() - full + (life or full),
        )[0]

    def bearer(self, **options: Any) -> str:
        return f"Bearer {self.token(**options)}"

    def ticket(self) -> str:
        return socket_tickets.issue(by=self.subject, now=now())[0]

    @property
    def cookie(self) -> str:
        return f"sessionid={self.session_client.cookies['sessionid'].value}"


def create_member_credentials(organization: Organization, role: str, **links: Any) -> MemberCredentials:
    """Store a member of a role with one credential of each kind."""
    user = factories.user(organization, role, **links)
    refresh_family = new_login(user)
    subject = subjects.subject_of_user(user)
    assert subject is not None
    _, api_key = api_keys.create(by=subject, now=now(), name="system", scopes=["shipments:read"])
    session_client = Client()
    session_client.force_login(user)
    return MemberCredentials(user, refresh_family, api_key, session_client)


def new_login(user: User) -> RefreshFamily:
    """Begin another login of a user."""
    return RefreshFamily.objects.create(
        user=user, created_at=now(), refreshed_at=now(), expires_at=now() + timedelta(days=1)
    )


async def wait_for_close(socket: SocketClient, seconds: float = 20) -> tuple[int, float]:
    """Wait until the server closes a socket, and return the code and how long that took."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            try:
                await socket.connection.recv()
            except websockets.ConnectionClosed as closed:
                return (closed.rcvd.code if closed.rcvd else 1006), time.monotonic() - started


async def welcome_or_close_code(socket: SocketClient, seconds: float = 20) -> str:
    """Return `welcome`, or the code by which the server closed the socket instead."""
    try:
        return str((await socket.receive("welcome", seconds))["type"])
    except websockets.ConnectionClosed as closed:
        return str(closed.rcvd.code if closed.rcvd else 1006)


async def handshake_status(socket: SocketClient) -> int:
    """Return the status of a handshake: 101, or why it was refused. The socket is closed again."""
    try:
        async with socket:
            return 101
    except websockets.InvalidStatus as refused:
        return int(refused.response.status_code)
