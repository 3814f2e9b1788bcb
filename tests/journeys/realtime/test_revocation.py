"""What ends or changes with an account reaches its open sockets, and no others."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pytest_django import DjangoDbBlocker

from shipments import services
from shipments.auth import tokens
from shipments.auth.subjects import Subject
from shipments.models import ApiKey, Organization, Shipment
from shipments.services.accounts import api_keys, logins, members
from shipments.services.shipments import tracking_links
from tests import factories
from tests.drills.harness import process
from tests.drills.harness.environment import free_port
from tests.drills.harness.presets import journey_stage
from tests.drills.harness.process import ProductProcess
from tests.drills.harness.product_stage import ProductStage
from tests.journeys.clients import SocketClient
from tests.journeys.credentials import (
    MemberCredentials,
    create_member_credentials,
    handshake_status,
    new_login,
    now,
    wait_for_close,
    welcome_or_close_code,
)

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]

# The objective is three seconds; the rest is for a loaded machine.
SECONDS = 3 + 3


class Tenant:
    """An organisation with an administrator, and shipments."""

    def __init__(self) -> None:
        self.organization: Organization = factories.organization()
        self.admin: Subject = factories.member(self.organization, "admin")

    def create_credentials(self, role: str = "dispatcher", **links: Any) -> MemberCredentials:
        return create_member_credentials(self.organization, role, **links)

    def book_shipment(self, **fields: Any) -> Shipment:
        return factories.booked_shipment(self.admin, **fields)


@pytest.fixture
def tenant(committed: None) -> Tenant:
    return Tenant()


@pytest.fixture(scope="module")
def daphne_without_redis(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProductProcess]:
    """Run a `ws` Daphne without Redis, with low limits of sockets and handshakes."""
    folder: Path = tmp_path_factory.mktemp("without-redis")
    environment = {
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "RATE_LIMIT_WS_CONNECT_MAX": "8",
        "RATE_LIMIT_SOCKETS_PER_USER": "3",
        "RATE_LIMIT_SOCKETS_PER_ADDRESS": "6",
    }
    with django_db_blocker.unblock():
        stage = journey_stage(folder, [process.ws()], **environment)
    with stage:
        yield stage["ws-1"]


def _log_out(who: MemberCredentials, _: Tenant) -> None:
    logins.logout(by=who.subject, now=now())


def _reuse_refresh_token(who: MemberCredentials, _: Tenant) -> None:
    who.refresh_family.refresh_from_db()
    stale = tokens.issue_refresh(
        user_id=who.user.pk, login_id=who.refresh_family.pk, generation=who.refresh_family.generation - 1,
        now=now(), expires_at=now() + timedelta(days=1),
    )  # fmt: skip
    with pytest.raises(logins.BadCredentials):
        logins.refresh(token=stale, origin=logins.Origin("192.0.2.1", "r"), now=now() + timedelta(minutes=1))


def _deactivate(who: MemberCredentials, tenant: Tenant) -> None:
    members.set_active(by=tenant.admin, now=now(), user_id=who.user.pk, active=False)


def _remove_account(who: MemberCredentials, tenant: Tenant) -> None:
    members.remove(by=tenant.admin, now=now(), user_id=who.user.pk)


def _set_password(who: MemberCredentials, tenant: Tenant) -> None:
    members.set_password(by=tenant.admin, now=now(), user_id=who.user.pk, password="another long password")


def _revoke_keys(who: MemberCredentials, tenant: Tenant) -> None:
    for key in ApiKey.objects.filter(user=who.user):
        api_keys.revoke(by=tenant.admin, now=now(), key_id=key.pk)


def _log_out_of_session(who: MemberCredentials, _: Tenant) -> None:
    assert who.session_client.post("/logout").status_code == 302


Act = Callable[[MemberCredentials, Tenant], None]
# Each revocation, and which of the four sockets survive it: those of a login, another login, a key, a session.
REVOCATIONS: list[tuple[Act, set[str]]] = [
    (_log_out, {"other", "key", "session"}),
    (_reuse_refresh_token, {"other", "key", "session"}),
    (_log_out_of_session, {"login", "other", "key"}),
    (_revoke_keys, {"login", "other", "session"}),
    (_set_password, {"key"}),
    (_deactivate, set()),
    (_remove_account, set()),
]


def _sockets(daphne: ProductProcess, who: MemberCredentials, origin: str) -> dict[str, SocketClient]:
    other = MemberCredentials(who.user, new_login(who.user), who.api_key, who.session_client)
    return {
        "login": SocketClient(daphne, who.bearer()),
        "other": SocketClient(daphne, other.bearer()),
        "key": SocketClient(daphne, f"Bearer {who.api_key}"),
        "session": SocketClient(daphne, additional_headers={"Cookie": who.cookie, "Origin": origin}),
    }


@pytest.mark.parametrize(("act", "survivors"), REVOCATIONS, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_revocation_closes_its_sockets_with_4403_and_no_others(
    product: ProductStage, tenant: Tenant, act: Act, survivors: set[str]
) -> None:
    who = await sync_to_async(tenant.create_credentials)()
    sockets = await sync_to_async(_sockets)(product.ws[0], who, product.api.url)
    for socket in sockets.values():
        await socket.__aenter__()
        await socket.receive("welcome")

    await sync_to_async(act)(who, tenant)

    closes = {name: await wait_for_close(socket) for name, socket in sockets.items() if name not in survivors}
    for name in survivors:
        await sockets[name].send(type="ping", t=name)
        assert (await sockets[name].receive("pong"))["t"] == name
    for socket in sockets.values():
        await socket.__aexit__()
    assert {code for code, _ in closes.values()} <= {4403}
    assert all(seconds < SECONDS for _, seconds in closes.values())


async def test_a_changed_role_loses_the_rooms_that_it_may_not_see_and_keeps_the_others(
    product: ProductStage, tenant: Tenant
) -> None:
    who = await sync_to_async(tenant.create_credentials)()
    driver = await sync_to_async(factories.driver)(tenant.organization)
    own = await sync_to_async(tenant.book_shipment)(driver_id=driver.pk)
    foreign = await sync_to_async(tenant.book_shipment)()

    async with SocketClient(product.ws[1], await sync_to_async(who.bearer)()) as socket:
        await socket.send(type="join:room", rooms=[{"room": "shipments:all"}, {"shipmentId": own.reference},
                                                  {"shipmentId": foreign.reference}])  # fmt: skip
        for _ in range(3):
            await socket.receive("room:joined")
        await sync_to_async(members.set_role)(
            by=tenant.admin, now=now(), user_id=who.user.pk, role="driver", driver_id=driver.pk
        )
        left = [await socket.receive("room:left", SECONDS) for _ in range(2)]
        await sync_to_async(services.amend)(
            by=tenant.admin, now=now(), reference=foreign.reference, changes={"pieces": 3}
        )
        await sync_to_async(services.amend)(
            by=tenant.admin, now=now(), reference=own.reference, changes={"pieces": 4}
        )
        update = await socket.receive("shipment:update")
        await socket.send(type="join:room", shipmentId=foreign.reference)
        refused = await socket.receive("error")

    assert {frame["room"] for frame in left} == {"shipments:all", f"shipment:{foreign.reference}"}
    assert {frame["reason"] for frame in left} == {"forbidden"}
    assert [frame["room"] for frame in socket.frames if frame["type"] == "shipment:update"] == [update["room"]]
    assert (update["room"], refused["code"]) == (f"shipment:{own.reference}", "not_found")


@pytest.mark.parametrize("role", ["driver", "customer"])
async def test_a_reassigned_shipment_leaves_its_driver_or_customer_before_the_event_is_delivered(
    product: ProductStage, tenant: Tenant, role: str
) -> None:
    make: Callable[[Organization], Any] = factories.driver if role == "driver" else factories.customer
    one, other = await sync_to_async(make)(tenant.organization), await sync_to_async(make)(tenant.organization)
    who, colleague = (
        await sync_to_async(tenant.create_credentials)(role, **{role: one}),
        await sync_to_async(tenant.create_credentials)(),
    )
    shipment = await sync_to_async(tenant.book_shipment)(**{f"{role}_id": one.pk})

    async with (
        SocketClient(product.ws[0], await sync_to_async(who.bearer)()) as socket,
        SocketClient(product.ws[0], await sync_to_async(colleague.bearer)()) as staff,
    ):
        for each in (socket, staff):
            await each.send(type="join:room", shipmentId=shipment.reference)
            await each.receive("room:joined")
        await sync_to_async(services.amend)(
            by=tenant.admin, now=now(), reference=shipment.reference, changes={f"{role}_id": other.pk}
        )
        left = await socket.receive("room:left", SECONDS)
        assert await staff.receive_updates_until(2) == [2]
        await socket.send(type="ping")
        await socket.receive("pong")

    assert left["reason"] == "forbidden"
    assert [frame["type"] for frame in socket.frames] == ["welcome", "room:joined", "room:left", "pong"]


async def test_a_refreshed_token_extends_the_socket(product: ProductStage, tenant: Tenant) -> None:
    who = await sync_to_async(tenant.create_credentials)()
    stranger = await sync_to_async(tenant.create_credentials)()
    short = await sync_to_async(who.bearer)(life=timedelta(seconds=5))

    async with SocketClient(product.ws[0], short) as socket:
        expiring = await socket.receive("token:expiring")
        welcome = socket.frames[0]
        await socket.send(type="token:refresh", id=1, token="nonsense")
        nonsense = await socket.receive("error")
        await socket.send(type="token:refresh", id=2, token=await sync_to_async(stranger.token)())
        foreign = await socket.receive("error")
        await socket.send(type="token:refresh", id=3)
        bad = await socket.receive("error")
        await socket.send(type="token:refresh", id=4, token=await sync_to_async(who.token)())
        refreshed = await socket.receive("token:refreshed")
        await asyncio.sleep(5.5)
        await socket.send(type="ping", t=1)
        await socket.receive("pong")

    assert expiring["expiresAt"] == welcome["expiresAt"]
    assert (refreshed["id"], refreshed["expiresAt"] > welcome["expiresAt"]) == (4, True)
    assert [(frame["id"], frame["code"]) for frame in (nonsense, foreign, bad)] == [
        (1, "unauthenticated"), (2, "forbidden"), (3, "bad_request"),
    ]  # fmt: skip


async def test_a_tracking_link_ends_with_its_revocation_and_with_the_access_of_its_creator(
    product: ProductStage, tenant: Tenant
) -> None:
    customer, other = [await sync_to_async(factories.customer)(tenant.organization) for _ in range(2)]
    creator = await sync_to_async(factories.member)(tenant.organization, "customer", customer=customer)
    shipment = await sync_to_async(tenant.book_shipment)(customer_id=customer.pk)
    link_arguments: dict[str, Any] = {"now": now(), "reference": shipment.reference}
    revoked, revoked_token = await sync_to_async(tracking_links.create)(by=tenant.admin, **link_arguments)
    _, lost_token = await sync_to_async(tracking_links.create)(by=creator, **link_arguments)
    _, kept_token = await sync_to_async(tracking_links.create)(by=tenant.admin, **link_arguments)

    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(SocketClient(product.ws[0], f"Bearer {token}"))
            for token in (revoked_token, lost_token, kept_token)
        ]
        for socket in sockets:
            await socket.send(type="join:room", shipmentId=shipment.reference)
            await socket.receive("room:joined")
        await sync_to_async(tracking_links.revoke)(by=tenant.admin, link_id=revoked.pk, **link_arguments)
        first = await wait_for_close(sockets[0])
        await sync_to_async(services.amend)(by=tenant.admin, changes={"customer_id": other.pk}, **link_arguments)
        second = await wait_for_close(sockets[1])
        received_seqs = await sockets[2].receive_updates_until(2)

    assert (first[0], second[0], received_seqs) == (4403, 4403, [2])
    assert max(first[1], second[1]) < SECONDS
    assert [frame["type"] for frame in sockets[1].frames] == ["welcome", "room:joined"]


async def test_a_ticket_lives_as_long_as_the_credential_behind_it(product: ProductStage, tenant: Tenant) -> None:
    who = await sync_to_async(tenant.create_credentials)()
    ticket = await sync_to_async(who.ticket)()

    async with SocketClient(product.ws[0], subprotocols=["freight.v1", f"ticket.{ticket}"]) as socket:
        assert socket.connection.subprotocol == "freight.v1"
        welcome = await socket.receive("welcome")
        await sync_to_async(_log_out)(who, tenant)
        code, seconds = await wait_for_close(socket)

    assert welcome["expiresAt"] is not None
    assert code == 4403
    assert seconds < SECONDS


async def test_a_ticket_admits_one_of_forty_handshakes(product: ProductStage, tenant: Tenant) -> None:
    who = await sync_to_async(tenant.create_credentials)()
    ticket = await sync_to_async(who.ticket)()
    sockets = [
        SocketClient(product.ws[n % 2], subprotocols=["freight.v1", f"ticket.{ticket}"], open_timeout=20)
        for n in range(40)
    ]

    async def first_frame(socket: SocketClient) -> str:
        async with socket:
            return await welcome_or_close_code(socket)

    answers = await asyncio.gather(*(first_frame(socket) for socket in sockets))

    assert sorted(answers) == ["4401"] * 39 + ["welcome"]


# -- without Redis ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [_log_out, _deactivate])
async def test_without_redis_the_sweep_closes_revoked_sockets(
    daphne_without_redis: ProductProcess, tenant: Tenant, act: Act
) -> None:
    who = await sync_to_async(tenant.create_credentials)()

    async with SocketClient(daphne_without_redis, await sync_to_async(who.bearer)()) as socket:
        await socket.receive("welcome", 20)
        await sync_to_async(act)(who, tenant)
        code, seconds = await wait_for_close(socket)

    assert code == 4403
    assert seconds < SECONDS


async def test_without_redis_a_changed_role_leaves_its_forbidden_rooms(
    daphne_without_redis: ProductProcess, tenant: Tenant
) -> None:
    customer = await sync_to_async(factories.customer)(tenant.organization)
    who = await sync_to_async(tenant.create_credentials)()
    shipment = await sync_to_async(tenant.book_shipment)()

    async with SocketClient(daphne_without_redis, await sync_to_async(who.bearer)()) as socket:
        await socket.send(type="join:room", shipmentId=shipment.reference)
        await socket.receive("room:joined", 20)
        await sync_to_async(members.set_role)(
            by=tenant.admin, now=now(), user_id=who.user.pk, role="customer", customer_id=customer.pk
        )
        started = time.monotonic()
        left = await socket.receive("room:left", 20)
        seconds = time.monotonic() - started

    assert left["reason"] == "forbidden"
    assert seconds < SECONDS


async def test_the_sockets_of_a_user_and_of_an_address_are_limited(
    daphne_without_redis: ProductProcess, tenant: Tenant
) -> None:
    one, other = await sync_to_async(tenant.create_credentials)(), await sync_to_async(tenant.create_credentials)()
    tokens = [await sync_to_async(who.bearer)() for who in (one, one, one, one, other, other, other)]

    # An address of its own, so that the sockets of other tests do not count.
    client_options = {"local_addr": ("127.0.0.2", 0)}

    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(SocketClient(daphne_without_redis, token, **client_options))
            for token in tokens[:6]
        ]
        answers = [await welcome_or_close_code(socket) for socket in sockets]
        # Six are open by now, but for the one that was closed.
        await stack.enter_async_context(SocketClient(daphne_without_redis, tokens[6], **client_options))
        refused = await handshake_status(SocketClient(daphne_without_redis, tokens[6], **client_options))
    statuses = [refused]
    while statuses[-1] == 403 and len(statuses) < 100:
        await asyncio.sleep(0.1)
        statuses.append(await handshake_status(SocketClient(daphne_without_redis, tokens[0], **client_options)))

    # Four sockets of one user open together: any of them may be the one too many.
    assert sorted(answers[:4]) == ["4429", "welcome", "welcome", "welcome"]
    assert answers[4:] == ["welcome"] * 2
    assert (refused, statuses[-1]) == (403, 101)


async def test_the_handshakes_of_a_subject_are_limited(
    daphne_without_redis: ProductProcess, tenant: Tenant
) -> None:
    who, other = await sync_to_async(tenant.create_credentials)(), await sync_to_async(tenant.create_credentials)()
    token = await sync_to_async(who.bearer)()

    # Twice the limit and one more, as the window may end in between.
    answers = []
    for _ in range(17):
        async with SocketClient(daphne_without_redis, token) as socket:
            answers.append(await welcome_or_close_code(socket))
    async with SocketClient(daphne_without_redis, await sync_to_async(other.bearer)()) as socket:
        other_answer = await welcome_or_close_code(socket)

    assert Counter(answers)["4429"] >= 1
    assert (answers[0], other_answer) == ("welcome", "welcome")
