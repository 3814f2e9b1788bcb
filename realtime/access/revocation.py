"""Living sockets by whom they belong to: what ends or changes with an account reaches them within seconds.

Two ways lead here and either is enough. `control` takes a message that some process sent right after COMMIT;
`sweep`, which the hub runs beside its own, compares the users' `access_version` with what each socket saw when
it was last looked at. Both only say *whose* sockets must look again; what they then find is read from the
database: gone, as before, or with other rights.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import structlog

from realtime.access import authentication, background_tasks
from shipments.auth import credentials
from shipments.auth.credentials import Credential
from shipments.auth.subjects import TRACKING_ROLE, Subject
from shipments.selectors import async_reads

log = structlog.get_logger(__name__)
# Sockets of one user that ask the database for their rooms at the same time.
_MAX_CONCURRENT_CHECKS: Final = 8
# Roles that see some shipments only: what they see changes when a shipment goes to somebody else.
_RESTRICTED_ROLES: Final = frozenset({"driver", "customer", TRACKING_ROLE})


@runtime_checkable
class Revocable(Protocol):
    """A socket or stream that lives on after it has shown its credential."""

    @property
    def subject(self) -> Subject | None: ...
    async def update_subject(self, fresh: Subject | None, *, recheck_rooms: bool) -> None:
        """Take what the credential stands for now; `anew`: look at the rooms in any case."""


_revocables: dict[uuid.UUID, set[Revocable]] = defaultdict(set)
_locks: dict[uuid.UUID, asyncio.Lock] = {}
# Whose look is on its way and has not begun: it will see whatever was committed until now.
_pending: set[uuid.UUID] = set()
# Whose rooms have to be looked at in any case, by the next sweep at the latest.
_rooms_unchecked: set[uuid.UUID] = set()


def register(revocable: Revocable) -> None:
    """Remember a visitor that has said who it is."""
    if revocable.subject is not None and (principal_id := _principal_id(revocable.subject)):
        _revocables[principal_id].add(revocable)


def unregister(revocable: Revocable) -> None:
    """Forget a visitor."""
    principal_id = _principal_id(revocable.subject) if revocable.subject else None
    if principal_id in _revocables:
        _revocables[principal_id].discard(revocable)
        if not _revocables[principal_id]:
            del _revocables[principal_id]
            _rooms_unchecked.discard(principal_id)
            _locks.pop(principal_id, None)


def _principal_id(subject: Subject) -> uuid.UUID | None:
    """Return the user or tracking link that a subject's visitors stand under."""
    return subject.user_id or subject.link_id


def is_restricted(subject: Subject) -> bool:
    """Tell whether the subject sees some shipments of its organisation only."""
    return subject.role in _RESTRICTED_ROLES


def restricted_principals(members: Iterable[object]) -> set[uuid.UUID]:
    """Return whose members of a room lose it when the shipment goes to somebody else."""
    subjects = (member.subject for member in members if isinstance(member, Revocable))
    return {
        principal_id
        for each in subjects
        if each is not None and is_restricted(each) and (principal_id := _principal_id(each))
    }


def handle_control(message: Mapping[str, Any]) -> None:
    """Take a message from the group `control`: `{"type": "control", "whose": "…"}`."""
    principal_id = uuid.UUID(message["whose"])
    if principal_id in _revocables and principal_id not in _pending:
        _pending.add(principal_id)
        background_tasks.spawn(_try_recheck(principal_id))


async def recheck_restricted(members: Iterable[object]) -> None:
    """Put out those of a room's members to whom its shipment belongs no longer.

    Raises what the database raises; the next sweep then looks again.
    """
    for principal_id in restricted_principals(members):
        _rooms_unchecked.add(principal_id)
        await _recheck(principal_id)


def mark_for_recheck(members: Iterable[object]) -> None:
    """Let the next sweep look at those whose shipment may have gone to somebody else unnoticed."""
    _rooms_unchecked.update(restricted_principals(members))


async def sweep() -> None:
    """Let everybody look again whose rights are others than a socket of theirs saw: one query."""
    users, links = {}, []
    for principal_id, revocables in _revocables.items():
        subjects = [revocable.subject for revocable in revocables if revocable.subject]
        if subjects and subjects[0].user_id:
            users[principal_id] = min(subject.access_version for subject in subjects)
        elif subjects:
            links.append(principal_id)
    if users or links:
        principal_ids = {*await async_reads.changed_access(users, links), *_rooms_unchecked} - _pending
        await asyncio.gather(*(_try_recheck(whose) for whose in principal_ids))


async def _try_recheck(principal_id: uuid.UUID) -> None:
    try:
        await _recheck(principal_id)
    except Exception as error:
        log.warning("access not looked at", whose=str(principal_id), error=repr(error))


async def _recheck(principal_id: uuid.UUID) -> None:
    """Read what each of somebody's credentials stands for now, and tell its visitors; one at a time."""
    async with _locks.setdefault(principal_id, asyncio.Lock()):
        _pending.discard(principal_id)
        recheck_rooms = principal_id in _rooms_unchecked
        _rooms_unchecked.discard(principal_id)
        revocables_by_credential: dict[Credential, list[Revocable]] = defaultdict(list)
        for revocable in _revocables.get(principal_id, ()):
            credential = credentials.credential_of(revocable.subject) if revocable.subject else None
            if credential is not None:
                revocables_by_credential[credential].append(revocable)
        try:
            for credential, revocables in revocables_by_credential.items():
                await _update_subjects(
                    revocables,
                    credential,
                    await authentication.current_subject(credential),
                    recheck_rooms=recheck_rooms,
                )
        except BaseException:
            if recheck_rooms:
                _rooms_unchecked.add(principal_id)
            raise


async def _update_subjects(
    revocables: Iterable[Revocable], credential: Credential, fresh: Subject | None, *, recheck_rooms: bool
) -> None:
    semaphore = asyncio.Semaphore(_MAX_CONCURRENT_CHECKS)

    async def update(revocable: Revocable) -> None:
        async with semaphore:
            # A token that was refreshed meanwhile stands for something newer than what was read.
            if revocable.subject is not None and credentials.credential_of(revocable.subject) == credential:
                await revocable.update_subject(fresh, recheck_rooms=recheck_rooms)

    await asyncio.gather(*(update(revocable) for revocable in revocables))
