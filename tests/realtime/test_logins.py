"""Living sockets look again until they have seen: whatever fails in between."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from realtime import auth, logins
from shipments.access import Subject
from shipments.credentials import Credential
from shipments.selectors import live
from shipments.services import accounts
from tests import factories
from tests.journeys.credentials import now, person

pytestmark = pytest.mark.usefixtures("committed")


class Visitor:
    """Notes what it is told, as a socket does: the new subject only where all went well."""

    def __init__(self, subject: Subject) -> None:
        self.subject: Subject | None = subject
        self.told: list[tuple[str | None, bool]] = []
        self.fails = 0
        self.heard = asyncio.Event()
        logins.enter(self)

    async def recognise(self, fresh: Subject | None, *, anew: bool) -> None:
        self.told.append((fresh.role if fresh else None, anew))
        self.heard.set()
        if self.fails:
            self.fails -= 1
            raise psycopg.OperationalError("the database is away")
        self.subject = fresh or self.subject


@pytest_asyncio.fixture
async def visitor() -> AsyncIterator[Visitor]:
    who = await sync_to_async(lambda: person(factories.organization(), "driver").subject)()
    made = Visitor(who)
    yield made
    logins.leave(made)
    await live.close()


@sync_to_async
def promote(visitor: Visitor) -> None:
    assert visitor.subject is not None
    assert visitor.subject.user_id is not None
    admin = factories.member(_organization(visitor.subject), "admin")
    accounts.set_role(by=admin, now=now(), user_id=visitor.subject.user_id, role="dispatcher")


def _organization(subject: Subject) -> factories.Organization:
    return factories.Organization.objects.get(pk=subject.organization_id)


async def test_the_sweep_tells_once_and_then_no_more(visitor: Visitor) -> None:
    await logins.sweep()
    await promote(visitor)
    for _ in range(3):
        await logins.sweep()

    assert visitor.told == [("dispatcher", False)]


async def test_who_could_not_look_looks_again(visitor: Visitor) -> None:
    visitor.fails = 2
    await promote(visitor)

    for _ in range(5):
        await logins.sweep()

    assert visitor.told == [("dispatcher", False)] * 3


async def test_a_reassignment_that_could_not_be_looked_at_is_owed(visitor: Visitor) -> None:
    visitor.fails = 1

    with pytest.raises(psycopg.OperationalError):
        await logins.reassigned([visitor])
    for _ in range(3):
        await logins.sweep()

    assert visitor.told == [("driver", True)] * 2


async def test_messages_that_come_together_are_one_look(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Credential] = []
    look = auth.today

    async def counted(credential: Credential) -> Subject | None:
        looks.append(credential)
        return await look(credential)

    monkeypatch.setattr(auth, "today", counted)
    assert visitor.subject is not None
    for _ in range(50):
        logins.control({"type": "control", "whose": str(visitor.subject.user_id)})
    logins.control({"type": "control", "whose": str(uuid.uuid4())})
    async with asyncio.timeout(10):
        await visitor.heard.wait()

    assert len(looks) == 1


async def test_many_sockets_of_one_login_are_one_read(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert visitor.subject is not None
    others = [Visitor(replace(visitor.subject, request_id=str(n))) for n in range(20)]
    looks: list[Credential] = []
    look = auth.today

    async def counted(credential: Credential) -> Subject | None:
        looks.append(credential)
        return await look(credential)

    monkeypatch.setattr(auth, "today", counted)
    await promote(visitor)
    await logins.sweep()
    for other in others:
        logins.leave(other)

    assert len(looks) == 1
    assert {tuple(each.told) for each in (visitor, *others)} == {(("dispatcher", False),)}


async def test_who_left_is_told_nothing(visitor: Visitor) -> None:
    logins.leave(visitor)
    await promote(visitor)

    await logins.sweep()

    assert visitor.told == []
