"""Open sockets are re-checked until the re-check succeeds, and share their queries."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from realtime.access import authentication, revocation
from shipments.auth.credentials import Credential
from shipments.auth.subjects import Subject
from shipments.models import Organization
from shipments.selectors import async_pool
from shipments.services.accounts import members
from tests import factories
from tests.journeys.credentials import create_member_credentials, now

pytestmark = pytest.mark.usefixtures("committed")


class RecordingRevocable:
    """Records updates; like a socket, it adopts the new subject only where the update succeeds."""

    def __init__(self, subject: Subject) -> None:
        self.subject: Subject | None = subject
        self.updates: list[tuple[str | None, bool]] = []
        self.failures_left = 0
        self.updated = asyncio.Event()
        revocation.register(self)

    async def update_subject(self, fresh: Subject | None, *, recheck_rooms: bool) -> None:
        self.updates.append((fresh.role if fresh else None, recheck_rooms))
        self.updated.set()
        if self.failures_left:
            self.failures_left -= 1
            raise psycopg.OperationalError("the database is away")
        self.subject = fresh or self.subject


@pytest_asyncio.fixture
async def revocable() -> AsyncIterator[RecordingRevocable]:
    subject = await sync_to_async(lambda: create_member_credentials(factories.organization(), "driver").subject)()
    revocable = RecordingRevocable(subject)
    yield revocable
    revocation.unregister(revocable)
    await async_pool.close_pools()


@sync_to_async
def promote(revocable: RecordingRevocable) -> None:
    assert revocable.subject is not None
    assert revocable.subject.user_id is not None
    admin = factories.member(_organization(revocable.subject), "admin")
    members.set_role(by=admin, now=now(), user_id=revocable.subject.user_id, role="dispatcher")


def _organization(subject: Subject) -> Organization:
    return Organization.objects.get(pk=subject.organization_id)


async def test_the_sweep_updates_once_for_each_change(revocable: RecordingRevocable) -> None:
    await revocation.sweep()
    await promote(revocable)
    for _ in range(3):
        await revocation.sweep()

    assert revocable.updates == [("dispatcher", False)]


async def test_a_failed_recheck_is_repeated_by_the_next_sweep(revocable: RecordingRevocable) -> None:
    revocable.failures_left = 2
    await promote(revocable)

    for _ in range(5):
        await revocation.sweep()

    assert revocable.updates == [("dispatcher", False)] * 3


async def test_a_failed_recheck_of_a_reassignment_is_repeated_by_the_next_sweep(
    revocable: RecordingRevocable,
) -> None:
    revocable.failures_left = 1

    with pytest.raises(psycopg.OperationalError):
        await revocation.recheck_restricted([revocable])
    for _ in range(3):
        await revocation.sweep()

    assert revocable.updates == [("driver", True)] * 2


async def test_control_messages_that_arrive_together_are_one_recheck(
    revocable: RecordingRevocable, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Credential] = []
    read = authentication.current_subject

    async def counting(credential: Credential) -> Subject | None:
        reads.append(credential)
        return await read(credential)

    monkeypatch.setattr(authentication, "current_subject", counting)
    assert revocable.subject is not None
    for _ in range(50):
        revocation.handle_control({"type": "control", "whose": str(revocable.subject.user_id)})
    revocation.handle_control({"type": "control", "whose": str(uuid.uuid4())})
    async with asyncio.timeout(10):
        await revocable.updated.wait()

    assert len(reads) == 1


async def test_many_sockets_of_one_login_share_one_read(
    revocable: RecordingRevocable, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert revocable.subject is not None
    others = [RecordingRevocable(replace(revocable.subject, request_id=str(n))) for n in range(20)]
    reads: list[Credential] = []
    read = authentication.current_subject

    async def counting(credential: Credential) -> Subject | None:
        reads.append(credential)
        return await read(credential)

    monkeypatch.setattr(authentication, "current_subject", counting)
    await promote(revocable)
    await revocation.sweep()
    for other in others:
        revocation.unregister(other)

    assert len(reads) == 1
    assert {tuple(each.updates) for each in (revocable, *others)} == {(("dispatcher", False),)}


async def test_an_unregistered_socket_is_not_updated(revocable: RecordingRevocable) -> None:
    revocation.unregister(revocable)
    await promote(revocable)

    await revocation.sweep()

    assert revocable.updates == []
