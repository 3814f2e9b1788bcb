"""Revocation: open sockets and streams by principal, re-checked within seconds when an account changes.

Two signals trigger a re-check and either is enough. `handle_control` receives a message that a process published
right after COMMIT; `sweep`, which the hub runs beside its own, compares the users' `access_version` with the
version that each socket was last checked at. Both only name the principal (a user or a tracking link). The
outcome is read from the database: revoked, unchanged, or with other rights.
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
# Sockets of one principal that query their rooms at the same time.
_MAX_CONCURRENT_CHECKS: Final = 8
# Roles that see only some shipments of their organisation, and lose one when it is reassigned.
_RESTRICTED_ROLES: Final = frozenset({"driver", "customer", TRACKING_ROLE})


@runtime_checkable
class Revocable(Protocol):
    """A socket or stream that stays open after its credential was verified."""

    @property
    def subject(self) -> Subject | None: ...
    async def update_subject(self, fresh: Subject | None, *, recheck_rooms: bool) -> None:
        """Apply the credential's current subject, None where it has ended.

        `recheck_rooms` checks the rooms even where the access rights did not change. A caller that raises is
        called again by the next sweep.
        """


_revocables: dict[uuid.UUID, set[Revocable]] = defaultdict(set)
_locks: dict[uuid.UUID, asyncio.Lock] = {}
# Principals whose re-check is scheduled and has not begun: it will see everything that is committed by now.
_pending: set[uuid.UUID] = set()
# Principals whose rooms must be checked whatever their rights, by the next sweep at the latest.
_rooms_unchecked: set[uuid.UUID] = set()


def register(revocable: Revocable) -> None:
    """Add an authenticated socket or stream."""
    if revocable.subject is not None and (principal_id := _principal_id(revocable.subject)):
        _revocables[principal_id].add(revocable)


def unregister(revocable: Revocable) -> None:
    """Remove a socket or stream; one that was never added is ignored."""
    principal_id = _principal_id(revocable.subject) if revocable.subject else None
    if principal_id in _revocables:
        _revocables[principal_id].discard(revocable)
        if not _revocables[principal_id]:
            del _revocables[principal_id]
            _rooms_unchecked.discard(principal_id)
            _locks.pop(principal_id, None)


def _principal_id(subject: Subject) -> uuid.UUID | None:
    """Return the id of the user or tracking link behind a subject."""
    return subject.user_id or subject.link_id


def is_restricted(subject: Subject) -> bool:
    """Return whether the subject sees only some shipments of its organisation."""
    return subject.role in _RESTRICTED_ROLES


def restricted_principals(members: Iterable[object]) -> set[uuid.UUID]:
    """Return the principals among a room's members that may lose the room when its shipment is reassigned."""
    subjects = (member.subject for member in members if isinstance(member, Revocable))
    return {
        principal_id
        for each in subjects
        if each is not None and is_restricted(each) and (principal_id := _principal_id(each))
    }


def handle_control(message: Mapping[str, Any]) -> None:
    """Schedule the re-check that a message of the group `control` asks for: `{"type": "control", "whose": id}`."""
    principal_id = uuid.UUID(message["whose"])
    if principal_id in _revocables and principal_id not in _pending:
        _pending.add(principal_id)
        background_tasks.spawn(_try_recheck(principal_id))


async def recheck_restricted(members: Iterable[object]) -> None:
    """Re-check the members of a room whose shipment was reassigned; those that may not see it any more leave.

    Raise what the database raises; the next sweep then tries again.
    """
    for principal_id in restricted_principals(members):
        _rooms_unchecked.add(principal_id)
        await _recheck(principal_id)


def mark_for_recheck(members: Iterable[object]) -> None:
    """Let the next sweep re-check members that may have missed a reassignment of their shipment."""
    _rooms_unchecked.update(restricted_principals(members))


async def sweep() -> None:
    """Re-check every principal whose rights differ from those that one of its sockets was checked at.

    One query for all; raise what the database raises.
    """
    users, links = {}, []
    for principal_id, revocables in _revocables.items():
        subjects = [revocable.subject for revocable in revocables if revocable.subject]
        if subjects and subjects[0].user_id:
            users[principal_id] = min(subject.access_version for subject in subjects)
        elif subjects:
            links.append(principal_id)
    if users or links:
        principal_ids = {*await async_reads.changed_access(users, links), *_rooms_unchecked} - _pending
        await asyncio.gather(*(_try_recheck(principal_id) for principal_id in principal_ids))


async def _try_recheck(principal_id: uuid.UUID) -> None:
    try:
        await _recheck(principal_id)
    except Exception as error:  # noqa: BLE001  the database is away: the next sweep tries again
        log.warning("access not rechecked", principal=str(principal_id), error=repr(error))


async def _recheck(principal_id: uuid.UUID) -> None:
    """Read the current subject of each of a principal's credentials and apply it; one re-check at a time."""
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
            # A token that was refreshed meanwhile is newer than the subject that was read.
            if revocable.subject is not None and credentials.credential_of(revocable.subject) == credential:
                await revocable.update_subject(fresh, recheck_rooms=recheck_rooms)

    await asyncio.gather(*(update(revocable) for revocable in revocables))
