"""The audit chain: the SHA-256 of each link covers its entry and the previous link.

So no entry can be changed, removed or inserted without breaking it. The relay builds it after the writes, which
therefore do not wait for each other.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeVar

import orjson
from django.db import connection, transaction
from django.db.models import Model, QuerySet

from shipments.models import AuditEntry, AuditLink, Organization, UnlinkedEntry

_Row = TypeVar("_Row", bound=Model)
_LOCK: Final = 0x4652_0002
BATCH: Final = 1_000
GENESIS: Final = bytes(32)
_HASHED_COLUMNS: Final = (
    "id", "organization_id", "at", "actor_role", "actor_id", "actor_name", "action", "entity", "entity_id",
    "before", "after", "address", "request_id", "outcome",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first broken link of a chain, and why."""

    organization: str
    n: int
    entry_id: uuid.UUID | None
    reason: str


def link_hash(previous: bytes, entry: dict[str, Any]) -> bytes:
    """Return the SHA-256 of the previous hash and the entry's columns, as JSON with sorted keys."""
    payload = orjson.dumps(
        {name: entry[name] for name in _HASHED_COLUMNS}, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z
    )
    return hashlib.sha256(previous + payload).digest()


def link_batch() -> int:
    """Link a batch of committed audit entries and return how many.

    Zero where there are none, or where another process holds the advisory lock.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
            if not cursor.fetchone()[0]:
                return 0
        unlinked_ids = UnlinkedEntry.objects.order_by("entry_id").values_list("entry_id", flat=True)[:BATCH]
        entries = list(AuditEntry.objects.filter(pk__in=list(unlinked_ids)).order_by("id").values(*_HASHED_COLUMNS))
        entries.sort(key=lambda entry: (str(entry["organization_id"]), entry["id"]))
        for organization_id, group in groupby(entries, key=lambda entry: entry["organization_id"]):
            _append_links(organization_id, list(group))
        UnlinkedEntry.objects.filter(pk__in=[entry["id"] for entry in entries]).delete()
    return len(entries)


def _of_organization(rows: QuerySet[_Row], organization_id: uuid.UUID | None) -> QuerySet[_Row]:
    if organization_id is None:
        return rows.filter(organization=None)
    return rows.filter(organization_id=organization_id)


def _append_links(organization_id: uuid.UUID | None, entries: Sequence[dict[str, Any]]) -> None:
    last = _of_organization(AuditLink.objects.all(), organization_id).order_by("-n").first()
    n, previous = (last.n, bytes(last.hash)) if last else (0, GENESIS)
    links = []
    for number, entry in enumerate(entries, start=n + 1):
        hashed = link_hash(previous, entry)
        links.append(
            AuditLink(
                entry_id=entry["id"], organization_id=organization_id, n=number, previous=previous, hash=hashed
            )
        )
        previous = hashed
    AuditLink.objects.bulk_create(links)


def verify(progress: Callable[[int], None] = lambda links: None) -> Iterator[BrokenLink | int]:
    """Verify every chain; yield its number of links where it holds, else its first broken link.

    `progress` is called with the number of links of each batch.
    """
    names: list[tuple[uuid.UUID | None, str]] = list(
        Organization.objects.order_by("slug").values_list("id", "slug")
    )
    for organization_id, name in [*names, (None, "installation")]:
        yield _verify_chain(organization_id, name, progress)


def _verify_chain(
    organization_id: uuid.UUID | None, name: str, progress: Callable[[int], None]
) -> BrokenLink | int:
    previous, n = GENESIS, 0
    columns = [f"entry__{column}" for column in _HASHED_COLUMNS]
    links = _of_organization(AuditLink.objects.all(), organization_id).order_by("n")
    for row in links.values("n", "previous", "hash", "entry_id", *columns).iterator(chunk_size=BATCH):
        n += 1
        entry = {column: row[f"entry__{column}"] for column in _HASHED_COLUMNS}
        if row["n"] != n:
            return BrokenLink(name, n, None, "is missing")
        if bytes(row["previous"]) != previous:
            return BrokenLink(name, n, row["entry_id"], "does not follow the link before")
        if link_hash(previous, entry) != bytes(row["hash"]):
            return BrokenLink(name, n, row["entry_id"], "does not fit its entry: the entry was changed")
        previous = bytes(row["hash"])
        if n % BATCH == 0:
            progress(BATCH)
    progress(n % BATCH)
    unlinked = (
        _of_organization(AuditEntry.objects.filter(link=None), organization_id)
        .exclude(pk__in=UnlinkedEntry.objects.values("entry_id"))
        .first()
    )
    return BrokenLink(name, n, unlinked.pk, "is the last, but an entry stands outside the chain") if unlinked else n
