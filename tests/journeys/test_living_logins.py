"""What ends or changes with an account reaches its living sockets, and only those that are concerned."""

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

from shipments import services, tokens
from shipments.access import Subject
from shipments.models import ApiKey, Organization, Shipment
from shipments.services import accounts, api_keys, links, logins
from tests import factories
from tests.journeys import servers
from tests.journeys.credentials import Person, ended, greeted, new_login, now, opens, person
from tests.journeys.logins import Socket
from tests.journeys.servers import Daphne, Product

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]

# The promise is three seconds; the rest is for a machine with other work.
SECONDS = 3 + 3


class House:
    """An organisation with an administrator, and shipments."""

    def __init__(self) -> None:
        self.organization: Organization = factories.organization()
        self.admin: Subject = factories.member(self.organization, "admin")

    def person(self, role: str = "dispatcher", **links: Any) -> Person:
        return person(self.organization, role, **links)

    def shipment(self, **fields: Any) -> Shipment:
        return factories.booked(self.admin, **fields)


@pytest.fixture
def house(committed: None) -> House:
    return House()


@pytest.fixture(scope="module")
def lonely(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daphne]:
    """A `ws` Daphne without Redis, with few places for sockets."""
    folder: Path = tmp_path_factory.mktemp("lonely")
    with django_db_blocker.unblock():
        made = servers.product(folder).sockets[0]
    made.environment |= {
        "REDIS_URL": f"redis://127.0.0.1:{servers.free_port()}/0",
        "RATE_LIMIT_WS_CONNECT_MAX": "8",
        "RATE_LIMIT_SOCKETS_PER_USER": "3",
        "RATE_LIMIT_SOCKETS_PER_ADDRESS": "6",
    }
    try:
        made.start()
        made.wait()
        yield made
    finally:
        made.stop()


def _leaves(who: Person, _: House) -> None:
    logins.logout(by=who.subject, now=now())


def _reuses_a_refresh_token(who: Person, _: House) -> None:
    who.login.refresh_from_db()
    stale = tokens.issue_refresh(
        user_id=who.user.pk, login_id=who.login.pk, generation=who.login.generation - 1, now=now(),
        expires_at=now() + timedelta(days=1),
    )  # fmt: skip
    with pytest.raises(logins.BadCredentials):
        logins.refresh(token=stale, origin=logins.Origin("192.0.2.1", "r"), now=now() + timedelta(minutes=1))


def _is_locked(who: Person, house: House) -> None:
    accounts.set_active(by=house.admin, now=now(), user_id=who.user.pk, active=False)


def _is_removed(who: Person, house: House) -> None:
    accounts.remove(by=house.admin, now=now(), user_id=who.user.pk)


def _is_given_another_password(who: Person, house: House) -> None:
    accounts.set_password(by=house.admin, now=now(), user_id=who.user.pk, password="another long password")


def _loses_its_keys(who: Person, house: House) -> None:
    for key in ApiKey.objects.filter(user=who.user):
        api_keys.revoke(by=house.admin, now=now(), key_id=key.pk)


def _leaves_by_the_page(who: Person, _: House) -> None:
    assert who.page.post("/logout").status_code == 302


Act = Callable[[Person, House], None]
# What happens, and which of its sockets live on: by login, another login, key, session.
ENDS: list[tuple[Act, set[str]]] = [
    (_leaves, {"other", "key", "session"}),
    (_reuses_a_refresh_token, {"other", "key", "session"}),
    (_leaves_by_the_page, {"login", "other", "key"}),
    (_loses_its_keys, {"login", "other", "session"}),
    (_is_given_another_password, {"key"}),
    (_is_locked, set()),
    (_is_removed, set()),
]


def _sockets(daphne: Daphne, who: Person, origin: str) -> dict[str, Socket]:
    other = Person(who.user, new_login(who.user), who.key, who.page)
    return {
        "login": Socket(daphne, who.bearer()),
        "other": Socket(daphne, other.bearer()),
        "key": Socket(daphne, f"Bearer {who.key}"),
        "session": Socket(daphne, additional_headers={"Cookie": who.cookie, "Origin": origin}),
    }


@pytest.mark.parametrize(("act", "survivors"), ENDS, ids=lambda value: getattr(value, "__name__", ""))
async def test_what_ends_closes_its_sockets_with_4403_and_no_others(
    product: Product, house: House, act: Act, survivors: set[str]
) -> None:
    who = await sync_to_async(house.person)()
    sockets = await sync_to_async(_sockets)(product.sockets[0], who, product.api.url)
    for socket in sockets.values():
        await socket.__aenter__()
        await socket.hear("welcome")

    await sync_to_async(act)(who, house)

    gone = {name: await ended(socket) for name, socket in sockets.items() if name not in survivors}
    for name in survivors:
        await sockets[name].say(type="ping", t=name)
        assert (await sockets[name].hear("pong"))["t"] == name
    for socket in sockets.values():
        await socket.__aexit__()
    assert {code for code, _ in gone.values()} <= {4403}
    assert all(seconds < SECONDS for _, seconds in gone.values())


async def test_another_role_loses_the_rooms_that_it_may_not_see_and_keeps_the_others(
    product: Product, house: House
) -> None:
    who = await sync_to_async(house.person)()
    driver = await sync_to_async(factories.driver)(house.organization)
    own = await sync_to_async(house.shipment)(driver_id=driver.pk)
    foreign = await sync_to_async(house.shipment)()

    async with Socket(product.sockets[1], await sync_to_async(who.bearer)()) as socket:
        await socket.say(type="join:room", rooms=[{"room": "shipments:all"}, {"shipmentId": own.reference},
                                                  {"shipmentId": foreign.reference}])  # fmt: skip
        for _ in range(3):
            await socket.hear("room:joined")
        await sync_to_async(accounts.set_role)(
            by=house.admin, now=now(), user_id=who.user.pk, role="driver", driver_id=driver.pk
        )
        left = [await socket.hear("room:left", SECONDS) for _ in range(2)]
        await sync_to_async(services.amend)(
            by=house.admin, now=now(), reference=foreign.reference, changes={"pieces": 3}
        )
        await sync_to_async(services.amend)(
            by=house.admin, now=now(), reference=own.reference, changes={"pieces": 4}
        )
        update = await socket.hear("shipment:update")
        await socket.say(type="join:room", shipmentId=foreign.reference)
        refused = await socket.hear("error")

    assert {frame["room"] for frame in left} == {"shipments:all", f"shipment:{foreign.reference}"}
    assert {frame["reason"] for frame in left} == {"forbidden"}
    assert [frame["room"] for frame in socket.frames if frame["type"] == "shipment:update"] == [update["room"]]
    assert (update["room"], refused["code"]) == (f"shipment:{own.reference}", "not_found")


@pytest.mark.parametrize("role", ["driver", "customer"])
async def test_who_loses_a_shipment_is_out_before_it_is_told_to_whom(
    product: Product, house: House, role: str
) -> None:
    make = {"driver": factories.driver, "customer": factories.customer}[role]
    one, other = await sync_to_async(make)(house.organization), await sync_to_async(make)(house.organization)
    who, colleague = await sync_to_async(house.person)(role, **{role: one}), await sync_to_async(house.person)()
    shipment = await sync_to_async(house.shipment)(**{f"{role}_id": one.pk})

    async with (
        Socket(product.sockets[0], await sync_to_async(who.bearer)()) as socket,
        Socket(product.sockets[0], await sync_to_async(colleague.bearer)()) as staff,
    ):
        for each in (socket, staff):
            await each.say(type="join:room", shipmentId=shipment.reference)
            await each.hear("room:joined")
        await sync_to_async(services.amend)(
            by=house.admin, now=now(), reference=shipment.reference, changes={f"{role}_id": other.pk}
        )
        left = await socket.hear("room:left", SECONDS)
        assert await staff.hears_up_to(2) == [2]
        await socket.say(type="ping")
        await socket.hear("pong")

    assert left["reason"] == "forbidden"
    assert [frame["type"] for frame in socket.frames] == ["welcome", "room:joined", "room:left", "pong"]


async def test_a_refreshed_token_moves_the_end(product: Product, house: House) -> None:
    who = await sync_to_async(house.person)()
    stranger = await sync_to_async(house.person)()
    short = await sync_to_async(who.bearer)(life=timedelta(seconds=5))

    async with Socket(product.sockets[0], short) as socket:
        expiring = await socket.hear("token:expiring")
        welcome = socket.frames[0]
        await socket.say(type="token:refresh", id=1, token="nonsense")
        nonsense = await socket.hear("error")
        await socket.say(type="token:refresh", id=2, token=await sync_to_async(stranger.token)())
        foreign = await socket.hear("error")
        await socket.say(type="token:refresh", id=3)
        bad = await socket.hear("error")
        await socket.say(type="token:refresh", id=4, token=await sync_to_async(who.token)())
        refreshed = await socket.hear("token:refreshed")
        await asyncio.sleep(5.5)
        await socket.say(type="ping", t=1)
        await socket.hear("pong")

    assert expiring["expiresAt"] == welcome["expiresAt"]
    assert (refreshed["id"], refreshed["expiresAt"] > welcome["expiresAt"]) == (4, True)
    assert [(frame["id"], frame["code"]) for frame in (nonsense, foreign, bad)] == [
        (1, "unauthenticated"), (2, "forbidden"), (3, "bad_request"),
    ]  # fmt: skip


async def test_a_tracking_link_ends_with_its_revocation_and_with_the_account_that_gave_it(
    product: Product, house: House
) -> None:
    customer, other = [await sync_to_async(factories.customer)(house.organization) for _ in range(2)]
    giver = await sync_to_async(factories.member)(house.organization, "customer", customer=customer)
    shipment = await sync_to_async(house.shipment)(customer_id=customer.pk)
    made = {"now": now(), "reference": shipment.reference}
    revoked, revoked_token = await sync_to_async(links.create)(by=house.admin, **made)
    _, lost_token = await sync_to_async(links.create)(by=giver, **made)
    _, kept_token = await sync_to_async(links.create)(by=house.admin, **made)

    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(Socket(product.sockets[0], f"Bearer {token}"))
            for token in (revoked_token, lost_token, kept_token)
        ]
        for socket in sockets:
            await socket.say(type="join:room", shipmentId=shipment.reference)
            await socket.hear("room:joined")
        await sync_to_async(links.revoke)(by=house.admin, link_id=revoked.pk, **made)
        first = await ended(sockets[0])
        await sync_to_async(services.amend)(by=house.admin, changes={"customer_id": other.pk}, **made)
        second = await ended(sockets[1])
        kept = await sockets[2].hears_up_to(2)

    assert (first[0], second[0], kept) == (4403, 4403, [2])
    assert max(first[1], second[1]) < SECONDS
    assert [frame["type"] for frame in sockets[1].frames] == ["welcome", "room:joined"]


async def test_a_ticket_lives_as_long_as_the_credential_behind_it(product: Product, house: House) -> None:
    who = await sync_to_async(house.person)()
    ticket = await sync_to_async(who.ticket)()

    async with Socket(product.sockets[0], subprotocols=["freight.v1", f"ticket.{ticket}"]) as socket:
        assert socket.connection.subprotocol == "freight.v1"
        welcome = await socket.hear("welcome")
        await sync_to_async(_leaves)(who, house)
        code, seconds = await ended(socket)

    assert welcome["expiresAt"] is not None
    assert code == 4403
    assert seconds < SECONDS


async def test_of_forty_handshakes_with_one_ticket_one_gets_in(product: Product, house: House) -> None:
    who = await sync_to_async(house.person)()
    ticket = await sync_to_async(who.ticket)()
    sockets = [
        Socket(product.sockets[n % 2], subprotocols=["freight.v1", f"ticket.{ticket}"], open_timeout=20)
        for n in range(40)
    ]

    async def first(socket: Socket) -> str:
        async with socket:
            return await greeted(socket)

    answers = await asyncio.gather(*(first(socket) for socket in sockets))

    assert sorted(answers) == ["4401"] * 39 + ["welcome"]


# -- without Redis ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [_leaves, _is_locked])
async def test_without_redis_the_sweep_ends_what_has_ended(lonely: Daphne, house: House, act: Act) -> None:
    who = await sync_to_async(house.person)()

    async with Socket(lonely, await sync_to_async(who.bearer)()) as socket:
        await socket.hear("welcome", 20)
        await sync_to_async(act)(who, house)
        code, seconds = await ended(socket)

    assert code == 4403
    assert seconds < SECONDS


async def test_without_redis_nothing_is_told_to_who_lost_its_rights(lonely: Daphne, house: House) -> None:
    customer = await sync_to_async(factories.customer)(house.organization)
    who = await sync_to_async(house.person)()
    shipment = await sync_to_async(house.shipment)()

    async with Socket(lonely, await sync_to_async(who.bearer)()) as socket:
        await socket.say(type="join:room", shipmentId=shipment.reference)
        await socket.hear("room:joined", 20)
        await sync_to_async(accounts.set_role)(
            by=house.admin, now=now(), user_id=who.user.pk, role="customer", customer_id=customer.pk
        )
        started = time.monotonic()
        left = await socket.hear("room:left", 20)
        seconds = time.monotonic() - started

    assert left["reason"] == "forbidden"
    assert seconds < SECONDS


async def test_a_user_has_so_many_sockets_and_an_address_too(lonely: Daphne, house: House) -> None:
    one, other = await sync_to_async(house.person)(), await sync_to_async(house.person)()
    tokens = [await sync_to_async(who.bearer)() for who in (one, one, one, one, other, other, other)]

    # An address of its own, so that no socket of another test counts.
    where = {"local_addr": ("127.0.0.2", 0)}

    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(Socket(lonely, token, **where)) for token in tokens[:6]]
        answers = [await greeted(socket) for socket in sockets]
        # Six are open by now, but for the one that was closed.
        await stack.enter_async_context(Socket(lonely, tokens[6], **where))
        refused = await opens(Socket(lonely, tokens[6], **where))
    statuses = [refused]
    while statuses[-1] == 403 and len(statuses) < 100:
        await asyncio.sleep(0.1)
        statuses.append(await opens(Socket(lonely, tokens[0], **where)))

    # Four of one user come together: which of them is one too many is a matter of chance.
    assert sorted(answers[:4]) == ["4429", "welcome", "welcome", "welcome"]
    assert answers[4:] == ["welcome"] * 2
    assert (refused, statuses[-1]) == (403, 101)


async def test_a_subject_has_so_many_handshakes_a_minute(lonely: Daphne, house: House) -> None:
    who, other = await sync_to_async(house.person)(), await sync_to_async(house.person)()
    token = await sync_to_async(who.bearer)()

    # Twice as many as a window has, and one: it may end in between.
    answers = []
    for _ in range(17):
        async with Socket(lonely, token) as socket:
            answers.append(await greeted(socket))
    async with Socket(lonely, await sync_to_async(other.bearer)()) as socket:
        unconcerned = await greeted(socket)

    assert Counter(answers)["4429"] >= 1
    assert (answers[0], unconcerned) == ("welcome", "welcome")
