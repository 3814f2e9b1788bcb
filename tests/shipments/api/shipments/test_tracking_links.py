"""/api/shipments/{reference}/tracking-links: made, listed, revoked; what they open, and until when."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from shipments import services, signals
from shipments.auth import bearers
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization, Shipment, TrackingLink
from shipments.selectors import async_pool, async_reads
from shipments.services.shipments import tracking_links
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api, field_errors


@pytest.fixture
def shipment(dispatcher: Subject, house: Organization) -> Shipment:
    return factories.booked_shipment(
        dispatcher, driver_id=factories.driver(house).pk, notes="secret", customer_id=factories.customer(house).pk
    )


@pytest.fixture
def path(shipment: Shipment) -> str:
    return f"/api/shipments/{shipment.reference}/tracking-links"


def authenticate_link(token: str, now: datetime | None = None) -> Subject | None:
    return bearers.authenticate(token, now=now or timezone.now())


def test_a_link_is_made_for_thirty_days_and_only_its_digest_is_kept(api: Api, path: str) -> None:
    made = api.post(path)

    assert made.status_code == 201
    assert set(made.json()) == {"id", "token", "expiresAt"}
    assert made["Cache-Control"] == "no-store"
    link = TrackingLink.objects.get(pk=made.json()["id"])
    assert link.expires_at - link.created_at == timedelta(days=30)
    assert len(made.json()["token"].removeprefix("frt_")) == 22  # 128 bits
    assert made.json()["token"].encode() not in bytes(link.digest)
    assert made.json()["token"] not in api.get(path).content.decode()


@pytest.mark.parametrize(("body", "days"), [({"days": 2}, 2), ({"days": 365}, 365), ({"expiresAt": None}, 30)])
def test_its_end_may_be_told(api: Api, path: str, body: Any, days: int) -> None:
    link = TrackingLink.objects.get(pk=api.post(path, body).json()["id"])

    assert link.expires_at - link.created_at == timedelta(days=days)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"days": 0}, ("days", "min_value")),
        ({"days": 366}, ("days", "max_value")),
        ({"days": 1.5}, ("days", "invalid")),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, ("expiresAt", "past")),
        ({"expiresAt": "2199-01-01T00:00:00Z"}, ("expiresAt", "too_late")),
        ({"expiresAt": "2199-01-01T00:00:00Z", "days": 3}, ("days", "invalid")),
        ({"token": "mine"}, ("token", "unknown_field")),
    ],
)
def test_what_cannot_be_used_is_named(api: Api, path: str, body: Any, refused: tuple[str, str]) -> None:
    response = api.post(path, body)

    assert response.status_code == 400
    assert field_errors(response) == [refused]


def test_whoever_has_it_sees_the_shipment_as_a_customer_does(api: Api, path: str, shipment: Shipment) -> None:
    subject = authenticate_link(api.post(path).json()["token"])

    shown = Api(subject).get(f"/api/shipments/{shipment.reference}").json()

    assert shown["reference"] == shipment.reference
    assert "notes" not in shown
    assert set(shown["driver"]) == {"id", "name"}
    assert Api(subject).get(f"/api/shipments/{shipment.reference}/events").json()["seq"] == 1


@pytest.mark.parametrize("token", ["", "frt_", "frt_unknown-unknown-unkno", "frt_\udcff", "frt_" + "x" * 9000])
def test_another_token_is_nobodys(db: None, token: str) -> None:
    assert authenticate_link(token) is None


def test_it_is_a_bearer_token_until_it_is_revoked(api: Api, path: str, shipment: Shipment) -> None:
    token = api.post(path).json()["token"]
    stranger = Api(None)
    bearer = {"Authorization": f"Bearer {token}"}

    before = stranger.get(f"/api/shipments/{shipment.reference}", **bearer)
    revoked = api.delete(f"{path}/{TrackingLink.objects.get(shipment=shipment).pk}")
    after = stranger.get(f"/api/shipments/{shipment.reference}", **bearer)

    assert [before.status_code, revoked.status_code, after.status_code] == [200, 204, 401]
    assert api.delete(f"{path}/{TrackingLink.objects.get(shipment=shipment).pk}").status_code == 204


def test_all_are_revoked_at_once(api: Api, path: str) -> None:
    some = [api.post(path).json()["token"] for _ in range(3)]

    assert api.delete(path).status_code == 204
    assert [authenticate_link(token) for token in some] == [None] * 3


def test_it_ends_by_the_clock(dispatcher: Subject, shipment: Shipment) -> None:
    _, token = tracking_links.create(
        by=dispatcher, now=NOW, reference=shipment.reference, expires_at=NOW + timedelta(hours=1)
    )

    assert authenticate_link(token, NOW + timedelta(minutes=59)) is not None
    assert authenticate_link(token, NOW + timedelta(hours=1)) is None


def test_links_are_listed_without_their_tokens(api: Api, path: str) -> None:
    first, second = (api.post(path).json() for _ in range(2))
    api.delete(f"{path}/{first['id']}")

    listed = api.get(path).json()["results"]

    assert [(each["id"], each["revokedAt"] is None) for each in listed] == [
        (second["id"], True),
        (first["id"], False),
    ]
    assert listed[0]["prefix"] == second["token"][:8]


def test_making_and_revoking_are_audited(api: Api, path: str, shipment: Shipment) -> None:
    made = api.post(path).json()
    api.delete(f"{path}/{made['id']}")

    found = AuditEntry.objects.filter(entity="tracking_link", entity_id=made["id"]).order_by("at", "id")
    told = [(each.action, each.after) for each in found]
    assert [action for action, _ in told] == ["permission", "permission"]
    assert [told[0][1]["reference"], told[1][1]] == [shipment.reference, {"revoked": True}]
    assert made["token"] not in str(told)


@pytest.mark.parametrize(
    ("role", "listed", "made"),
    [("admin", 200, 201), ("dispatcher", 200, 201), ("auditor", 200, 403), ("driver", 403, 403)],
)
def test_who_may_what(
    house: Organization, shipment: Shipment, path: str, role: str, listed: int, made: int
) -> None:
    more = {"driver": shipment.driver} if role == "driver" else {}
    member = Api(factories.member(house, role, **more))

    assert member.get(path).status_code == listed
    assert member.post(path).status_code == made
    assert member.delete(path).status_code == (204 if made == 201 else made)


def test_a_customer_manages_its_accounts_links_alone(
    api: Api, house: Organization, shipment: Shipment, path: str
) -> None:
    api.post(path)
    theirs = TrackingLink.objects.get(shipment=shipment)
    customer = Api(factories.member(house, "customer", customer=shipment.customer))
    colleague = Api(factories.member(house, "customer", customer=shipment.customer))

    own = customer.post(path).json()["id"]

    assert [each["id"] for each in colleague.get(path).json()["results"]] == [own]
    assert colleague.delete(f"{path}/{theirs.pk}").status_code == 404
    assert colleague.delete(path).status_code == 204
    theirs.refresh_from_db()
    assert theirs.revoked_at is None


def test_a_customers_link_ends_with_its_right_to_see(
    dispatcher: Subject, house: Organization, shipment: Shipment
) -> None:
    customer = factories.member(house, "customer", customer=shipment.customer)
    _, token = tracking_links.create(by=customer, now=NOW, reference=shipment.reference)
    before = authenticate_link(token, NOW)

    services.amend(by=dispatcher, now=NOW, reference=shipment.reference, changes={"customer_id": None})

    assert before is not None
    assert authenticate_link(token, NOW) is None


def test_there_is_a_bound(dispatcher: Subject, shipment: Shipment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_links, "MAX_LINKS", 2)
    for _ in range(2):
        tracking_links.create(by=dispatcher, now=NOW, reference=shipment.reference)

    with pytest.raises(services.InvalidArgument, match="At most 2"):
        tracking_links.create(by=dispatcher, now=NOW, reference=shipment.reference)


def test_a_revoked_link_is_told_after_commit(
    dispatcher: Subject, shipment: Shipment, django_capture_on_commit_callbacks: Any
) -> None:
    link, _ = tracking_links.create(by=dispatcher, now=NOW, reference=shipment.reference)
    told = []

    def hear(*, link_id: Any, **_: Any) -> None:
        told.append(link_id)

    signals.link_revoked.connect(hear)
    with django_capture_on_commit_callbacks(execute=True):
        tracking_links.revoke(by=dispatcher, now=NOW, reference=shipment.reference)
        tracking_links.revoke(by=dispatcher, now=NOW, reference=shipment.reference)

    assert told == [link.pk]


def test_each_address_that_follows_a_link_has_a_limit_of_its_own(dispatcher: Subject, shipment: Shipment) -> None:
    follower = factories.tracking_link_subject(dispatcher, shipment.reference)

    keys = {
        follower.with_request_origin(address=address, request_id="").limit_key
        for address in ("192.0.2.1", "192.0.2.2", "::1")
    }

    assert len(keys) == 3


async def test_event_loops_can_ask_which_links_have_ended(committed: None) -> None:
    def made() -> tuple[Any, ...]:
        house = factories.organization()
        by, customer = factories.member(house, "dispatcher"), factories.member(house, "customer")
        reference = factories.booked_shipment(by, customer_id=customer.customer_id).reference
        lasting, revoked = (tracking_links.create(by=by, now=NOW, reference=reference)[0] for _ in range(2))
        given, _ = tracking_links.create(by=customer, now=NOW, reference=reference)
        tracking_links.revoke(by=by, now=NOW, reference=reference, link_id=revoked.pk)
        return by, reference, lasting.pk, revoked.pk, given.pk

    by, reference, lasting, revoked, given = await sync_to_async(made)()
    try:
        before = await async_reads.changed_access({}, [lasting, revoked, given])
        await sync_to_async(services.amend)(by=by, now=NOW, reference=reference, changes={"customer_id": None})
        after = await async_reads.changed_access({}, [lasting, revoked, given])
    finally:
        await async_pool.close_pools()

    assert before == [revoked]
    assert set(after) == {revoked, given}
