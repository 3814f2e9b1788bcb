"""/api/shipments/{reference}/tracking-links: make, list, revoke; what a link may read, and until when."""

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
from tests.narrowing import present
from tests.shipments.api.client import Api, field_errors


@pytest.fixture
def shipment(dispatcher: Subject, organization: Organization) -> Shipment:
    return factories.booked_shipment(
        dispatcher,
        driver_id=factories.driver(organization).pk,
        notes="secret",
        customer_id=factories.customer(organization).pk,
    )


@pytest.fixture
def path(shipment: Shipment) -> str:
    return f"/api/shipments/{shipment.reference}/tracking-links"


def authenticate_link(token: str, now: datetime | None = None) -> Subject | None:
    return bearers.authenticate(token, now=now or timezone.now())


def test_a_link_lasts_thirty_days_and_only_its_digest_is_stored(api: Api, path: str) -> None:
    response = api.post(path)

    assert response.status_code == 201
    assert set(response.json()) == {"id", "token", "expiresAt"}
    assert response["Cache-Control"] == "no-store"
    link = TrackingLink.objects.get(pk=response.json()["id"])
    assert link.expires_at - link.created_at == timedelta(days=30)
    assert len(response.json()["token"].removeprefix("frt_")) == 22  # 128 bits
    assert response.json()["token"].encode() not in bytes(link.digest)
    assert response.json()["token"] not in api.get(path).content.decode()


@pytest.mark.parametrize(("body", "days"), [({"days": 2}, 2), ({"days": 365}, 365), ({"expiresAt": None}, 30)])
def test_a_link_lasts_as_long_as_requested(api: Api, path: str, body: Any, days: int) -> None:
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
def test_invalid_values_are_named(api: Api, path: str, body: Any, refused: tuple[str, str]) -> None:
    response = api.post(path, body)

    assert response.status_code == 400
    assert field_errors(response) == [refused]


def test_a_link_shows_the_shipment_as_a_customer_sees_it(api: Api, path: str, shipment: Shipment) -> None:
    subject = authenticate_link(api.post(path).json()["token"])

    body = Api(subject).get(f"/api/shipments/{shipment.reference}").json()

    assert body["reference"] == shipment.reference
    assert "notes" not in body
    assert set(body["driver"]) == {"id", "name"}
    assert Api(subject).get(f"/api/shipments/{shipment.reference}/events").json()["seq"] == 1


@pytest.mark.parametrize("token", ["", "frt_", "frt_unknown-unknown-unkno", "frt_\udcff", "frt_" + "x" * 9000])
def test_an_unknown_token_is_refused(db: None, token: str) -> None:
    assert authenticate_link(token) is None


def test_a_link_is_a_bearer_token_until_it_is_revoked(api: Api, path: str, shipment: Shipment) -> None:
    token = api.post(path).json()["token"]
    stranger = Api(None)
    bearer = f"Bearer {token}"

    before = stranger.get(f"/api/shipments/{shipment.reference}", Authorization=bearer)
    revoked = api.delete(f"{path}/{TrackingLink.objects.get(shipment=shipment).pk}")
    after = stranger.get(f"/api/shipments/{shipment.reference}", Authorization=bearer)

    assert [before.status_code, revoked.status_code, after.status_code] == [200, 204, 401]
    assert api.delete(f"{path}/{TrackingLink.objects.get(shipment=shipment).pk}").status_code == 204


def test_all_links_are_revoked_by_one_request(api: Api, path: str) -> None:
    link_tokens = [api.post(path).json()["token"] for _ in range(3)]

    assert api.delete(path).status_code == 204
    assert [authenticate_link(token) for token in link_tokens] == [None] * 3


def test_a_link_expires(dispatcher: Subject, shipment: Shipment) -> None:
    _, token = tracking_links.create(
        by=dispatcher, now=NOW, reference=shipment.reference, expires_at=NOW + timedelta(hours=1)
    )

    assert authenticate_link(token, NOW + timedelta(minutes=59)) is not None
    assert authenticate_link(token, NOW + timedelta(hours=1)) is None


def test_links_are_listed_without_their_tokens(api: Api, path: str) -> None:
    first, second = (api.post(path).json() for _ in range(2))
    api.delete(f"{path}/{first['id']}")

    links = api.get(path).json()["results"]

    assert [(each["id"], each["revokedAt"] is None) for each in links] == [
        (second["id"], True),
        (first["id"], False),
    ]
    assert links[0]["prefix"] == second["token"][:8]


def test_creation_and_revocation_are_audited(api: Api, path: str, shipment: Shipment) -> None:
    link = api.post(path).json()
    api.delete(f"{path}/{link['id']}")

    entries = AuditEntry.objects.filter(entity="tracking_link", entity_id=link["id"]).order_by("at", "id")
    changes = [(each.action, each.after) for each in entries]
    assert [action for action, _ in changes] == ["permission", "permission"]
    assert [present(changes[0][1])["reference"], changes[1][1]] == [shipment.reference, {"revoked": True}]
    assert link["token"] not in str(changes)


@pytest.mark.parametrize(
    ("role", "list_status", "make_status"),
    [("admin", 200, 201), ("dispatcher", 200, 201), ("auditor", 200, 403), ("driver", 403, 403)],
)
def test_which_roles_read_and_write(
    organization: Organization, shipment: Shipment, path: str, role: str, list_status: int, make_status: int
) -> None:
    more = {"driver": shipment.driver} if role == "driver" else {}
    member = Api(factories.member(organization, role, **more))

    assert member.get(path).status_code == list_status
    assert member.post(path).status_code == make_status
    assert member.delete(path).status_code == (204 if make_status == 201 else make_status)


def test_a_customer_manages_only_the_links_of_its_account(
    api: Api, organization: Organization, shipment: Shipment, path: str
) -> None:
    api.post(path)
    dispatchers_link = TrackingLink.objects.get(shipment=shipment)
    customer = Api(factories.member(organization, "customer", customer=shipment.customer))
    colleague = Api(factories.member(organization, "customer", customer=shipment.customer))

    own = customer.post(path).json()["id"]

    assert [each["id"] for each in colleague.get(path).json()["results"]] == [own]
    assert colleague.delete(f"{path}/{dispatchers_link.pk}").status_code == 404
    assert colleague.delete(path).status_code == 204
    dispatchers_link.refresh_from_db()
    assert dispatchers_link.revoked_at is None


def test_a_customers_link_ends_with_its_access_to_the_shipment(
    dispatcher: Subject, organization: Organization, shipment: Shipment
) -> None:
    customer = factories.member(organization, "customer", customer=shipment.customer)
    _, token = tracking_links.create(by=customer, now=NOW, reference=shipment.reference)
    before = authenticate_link(token, NOW)

    services.amend(by=dispatcher, now=NOW, reference=shipment.reference, changes={"customer_id": None})

    assert before is not None
    assert authenticate_link(token, NOW) is None


def test_the_number_is_bounded(dispatcher: Subject, shipment: Shipment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_links, "MAX_LINKS", 2)
    for _ in range(2):
        tracking_links.create(by=dispatcher, now=NOW, reference=shipment.reference)

    with pytest.raises(services.InvalidArgument, match="At most 2"):
        tracking_links.create(by=dispatcher, now=NOW, reference=shipment.reference)


def test_a_revoked_link_sends_its_signal_after_commit(
    dispatcher: Subject, shipment: Shipment, django_capture_on_commit_callbacks: Any
) -> None:
    link, _ = tracking_links.create(by=dispatcher, now=NOW, reference=shipment.reference)
    revoked = []

    def receive(*, link_id: Any, **_: Any) -> None:
        revoked.append(link_id)

    signals.link_revoked.connect(receive)
    with django_capture_on_commit_callbacks(execute=True):
        tracking_links.revoke(by=dispatcher, now=NOW, reference=shipment.reference)
        tracking_links.revoke(by=dispatcher, now=NOW, reference=shipment.reference)

    assert revoked == [link.pk]


def test_each_address_with_the_same_link_has_its_own_limit(dispatcher: Subject, shipment: Shipment) -> None:
    follower = factories.tracking_link_subject(dispatcher, shipment.reference)

    keys = {
        follower.with_request_origin(address=address, request_id="").limit_key
        for address in ("192.0.2.1", "192.0.2.2", "::1")
    }

    assert len(keys) == 3


async def test_async_reads_name_revoked_links_and_those_without_access(committed: None) -> None:
    def make_links() -> tuple[Any, ...]:
        organization = factories.organization()
        by, customer = factories.member(organization, "dispatcher"), factories.member(organization, "customer")
        reference = factories.booked_shipment(by, customer_id=customer.customer_id).reference
        lasting, revoked = (tracking_links.create(by=by, now=NOW, reference=reference)[0] for _ in range(2))
        by_customer, _ = tracking_links.create(by=customer, now=NOW, reference=reference)
        tracking_links.revoke(by=by, now=NOW, reference=reference, link_id=revoked.pk)
        return by, reference, lasting.pk, revoked.pk, by_customer.pk

    by, reference, lasting, revoked, by_customer = await sync_to_async(make_links)()
    try:
        before = await async_reads.changed_access({}, [lasting, revoked, by_customer])
        await sync_to_async(services.amend)(by=by, now=NOW, reference=reference, changes={"customer_id": None})
        after = await async_reads.changed_access({}, [lasting, revoked, by_customer])
    finally:
        await async_pool.close_pools()

    assert before == [revoked]
    assert set(after) == {revoked, by_customer}
