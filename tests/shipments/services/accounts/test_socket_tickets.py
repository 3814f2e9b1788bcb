"""Socket tickets: valid once, for seconds, for exactly the credential that requested them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.test import Client

from shipments import intake
from shipments.auth import bearers, subjects
from shipments.auth.subjects import Forbidden, Subject
from shipments.models import SocketTicket, User
from shipments.services.accounts import api_keys, socket_tickets
from tests import factories
from tests.shipments.auth.credentials import by_key, by_login, by_session

HANDSHAKES = 40


def now() -> datetime:
    return datetime.now(UTC)


def create_user() -> User:
    return factories.user(factories.organization(), "dispatcher")


@pytest.mark.django_db
@pytest.mark.parametrize("credential", [by_login, by_key, by_session])
def test_a_ticket_is_redeemed_once_for_the_subject_that_requested_it(credential: object) -> None:
    subject: Subject = credential(create_user())  # type: ignore[operator]  # a function of tests.shipments.auth.credentials

    ticket, expires_at = socket_tickets.issue(by=subject, now=now())

    assert timedelta(seconds=25) < expires_at - now() <= timedelta(seconds=30)
    assert intake.redeem_ticket(ticket=ticket, now=now()) == subject
    assert intake.redeem_ticket(ticket=ticket, now=now()) is None


@pytest.mark.django_db
def test_an_expired_ticket_is_refused() -> None:
    ticket, expires_at = socket_tickets.issue(by=by_login(create_user()), now=now())

    assert intake.redeem_ticket(ticket=ticket, now=expires_at) is None


@pytest.mark.django_db
@pytest.mark.parametrize("ticket", ["", "unknown", "x" * 10_000, "tick\0et", "\ud800"])
def test_an_unknown_ticket_is_refused(ticket: str) -> None:
    assert intake.redeem_ticket(ticket=ticket, now=now()) is None


@pytest.mark.django_db
def test_a_ticket_ends_with_the_credential_behind_it() -> None:
    subject = by_key(user := create_user())
    ticket, _ = socket_tickets.issue(by=subject, now=now())
    owner = subjects.subject_of_user(user)
    assert owner is not None
    assert subject.key_id is not None

    api_keys.revoke(by=owner, now=now(), key_id=subject.key_id)

    assert intake.redeem_ticket(ticket=ticket, now=now()) is None


@pytest.mark.django_db
def test_a_ticket_is_stored_as_its_digest_and_purged_by_the_next() -> None:
    subject = by_login(create_user())
    ticket, expires_at = socket_tickets.issue(by=subject, now=now())
    row = SocketTicket.objects.latest("pk")

    socket_tickets.issue(by=subject, now=expires_at)

    assert ticket.encode() not in bytes(row.digest) + str(row.credential).encode()
    assert not SocketTicket.objects.filter(pk=row.pk).exists()


@pytest.mark.django_db
def test_only_a_subject_that_may_read_shipments_gets_one() -> None:
    user = create_user()
    _, secret = api_keys.create(
        by=factories.member(user.membership.organization, "admin"),
        now=now(),
        name="billing",
        scopes=["billing:read"],
    )
    biller = bearers.authenticate(secret, now=now())
    assert biller is not None

    with pytest.raises(Forbidden):
        socket_tickets.issue(by=biller, now=now())


def test_of_forty_handshakes_one_succeeds(committed: None) -> None:
    ticket, _ = socket_tickets.issue(by=by_login(create_user()), now=now())
    start = Barrier(8)

    def enter(number: int) -> bool:
        if number < 8:
            start.wait(10)
        try:
            return intake.redeem_ticket(ticket=ticket, now=now()) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        entered = list(pool.map(enter, range(HANDSHAKES)))

    assert entered.count(True) == 1


@pytest.mark.django_db
def test_the_endpoint_gives_a_ticket_to_authenticated_callers() -> None:
    user = create_user()
    login = by_login(user)
    _, secret = api_keys.create(by=login, now=now(), name="system", scopes=["shipments:read"])
    page = Client(enforce_csrf_checks=True)
    page.force_login(user)

    answer = Client().post("/api/auth/ws-ticket", headers={"authorization": f"Bearer {secret}"})
    anonymous = Client().post("/api/auth/ws-ticket")
    forged = page.post("/api/auth/ws-ticket")

    assert (answer.status_code, set(answer.json())) == (200, {"ticket", "expiresAt"})
    assert answer["Cache-Control"] == "no-store"
    assert (anonymous.status_code, forged.status_code) == (401, 403)
