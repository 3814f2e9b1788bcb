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

from realtime import auth, tasks
from shipments import credentials
from shipments.access import TRACKING, Subject
from shipments.credentials import Credential
from shipments.selectors import live

log = structlog.get_logger(__name__)
# Sockets of one user that ask the database for their rooms at the same time.
_CHECKS_AT_ONCE: Final = 8
# Roles that see some shipments only: what they see changes when a shipment goes to somebody else.
_BOUND: Final = frozenset({"driver", "customer", TRACKING})


@runtime_checkable
class Visitor(Protocol):
    """A socket or stream that lives on after it has shown its credential."""

    @property
    def subject(self) -> Subject | None: ...
    async def recognise(self, fresh: Subject | None, *, anew: bool) -> None:
        """This will take what the credential stands for now; `anew`: look at the rooms in any case."""


_living: dict[uuid.UUID, set[Visitor]] = defaultdict(set)
_turns: dict[uuid.UUID, asyncio.Lock] = {}
# Whose look is on its way and has not begun: it will see whatever was committed until now.
_due: set[uuid.UUID] = set()
# Whose rooms have to be looked at in any case, by the next sweep at the latest.
_owed: set[uuid.UUID] = set()


def enter(visitor: Visitor) -> None:
    """This will remember a visitor that has said who it is."""
    if visitor.subject is not None and (whose := _whose(visitor.subject)):
        _living[whose].add(visitor)


def leave(visitor: Visitor) -> None:
    """This will forget a visitor."""
    whose = _whose(visitor.subject) if visitor.subject else None
    if whose in _living:
        _living[whose].discard(visitor)
        if not _living[whose]:
            del _living[whose]
            _owed.discard(whose)
            _turns.pop(whose, None)


def _whose(subject: Subject) -> uuid.UUID | None:
    """This will return the user or tracking link that a subject's visitors stand under."""
    return subject.user_id or subject.link_id


def bound(subject: Subject) -> bool:
    """This will tell whether the subject sees some shipments of its organisation only."""
    return subject.role in _BOUND


def bound_among(members: Iterable[object]) -> set[uuid.UUID]:
    """This will return whose members of a room lose it when the shipment goes to somebody else."""
    subjects = (member.subject for member in members if isinstance(member, Visitor))
    return {whose for each in subjects if each is not None and bound(each) and (whose := _whose(each))}


def control(message: Mapping[str, Any]) -> None:
    """This will take a message from the group `control`: `{"type": "control", "whose": "…"}`."""
    whose = uuid.UUID(message["whose"])
    if whose in _living and whose not in _due:
        _due.add(whose)
        tasks.start(_try_to_look(whose))


async def reassigned(members: Iterable[object]) -> None:
    """This will put out those of a room's members to whom its shipment belongs no longer.

    Raises what the database raises; the next sweep then looks again.
    """
    for whose in bound_among(members):
        _owed.add(whose)
        await _look(whose)


def doubt(members: Iterable[object]) -> None:
    """This will let the next sweep look at those whose shipment may have gone to somebody else unnoticed."""
    _owed.update(bound_among(members))


async def sweep() -> None:
    """This will let everybody look again whose rights are others than a socket of theirs saw: one query."""
    users, links = {}, []
    for whose, here in _living.items():
        seen = [visitor.subject for visitor in here if visitor.subject]
        if seen and seen[0].user_id:
            users[whose] = min(subject.access_version for subject in seen)
        elif seen:
            links.append(whose)
    if users or links:
        concerned = {*await live.changed_access(users, links), *_owed} - _due
        await asyncio.gather(*(_try_to_look(whose) for whose in concerned))


async def _try_to_look(whose: uuid.UUID) -> None:
    try:
        await _look(whose)
    except Exception as error:  # noqa: BLE001  the database is away: the next sweep looks again
        log.warning("access not looked at", whose=str(whose), error=repr(error))


async def _look(whose: uuid.UUID) -> None:
    """This will read what each of somebody's credentials stands for now, and tell its visitors; one at a time."""
    async with _turns.setdefault(whose, asyncio.Lock()):
        _due.discard(whose)
        anew = whose in _owed
        _owed.discard(whose)
        by_credential: dict[Credential, list[Visitor]] = defaultdict(list)
        for visitor in _living.get(whose, ()):
            credential = credentials.behind(visitor.subject) if visitor.subject else None
            if credential is not None:
                by_credential[credential].append(visitor)
        try:
            for credential, visitors in by_credential.items():
                await _tell(visitors, credential, await auth.today(credential), anew=anew)
        except BaseException:
            if anew:
                _owed.add(whose)
            raise


async def _tell(visitors: Iterable[Visitor], credential: Credential, fresh: Subject | None, *, anew: bool) -> None:
    places = asyncio.Semaphore(_CHECKS_AT_ONCE)

    async def tell(visitor: Visitor) -> None:
        async with places:
            # A token that was refreshed meanwhile stands for something newer than what was read.
            if visitor.subject is not None and credentials.behind(visitor.subject) == credential:
                await visitor.recognise(fresh, anew=anew)

    await asyncio.gather(*(tell(visitor) for visitor in visitors))
