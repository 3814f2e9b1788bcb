"""The relay killed at random while it imports: every row takes effect once, and is in the report once.

Only processes that the drill started are killed. Stop other relays first: one that survives hides what a kill does.
"""

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from exports.file_imports import columns, import_jobs, row_processing, table
from exports.file_imports.row_processing import CHUNK_ROWS, ChunkReader
from exports.models import Import, ImportedFile, ImportedRow
from exports.sandbox import pool
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Shipment, ShipmentEvent
from tests.drills.harness import fixtures
from tests.drills.harness.presets import installation_stage
from tests.drills.harness.process import relay
from tests.drills.harness.waiting import wait_until

_MAX_WAIT_SECONDS: Final = 120.0
# From the first rows that were applied after a kill to the next kill.
_MAX_KILL_DELAY_SECONDS: Final = 0.3
# One row in this many is of a shipment that exists already.
_EXISTING_EVERY: Final = 4
State = Import.State


@dataclass(slots=True)
class Evidence:
    """The result of the drill.

    `struck`: kills while the import was running. `wrong`: shipments that were not booked once, or amended once
    where they existed before. `untold`: rows that the report leaves out or has twice. `kept`: files not deleted.
    """

    kills: int
    rows: int
    struck: int = 0
    attempts: int = 0
    wrong: int = 0
    untold: int = 0
    state: str = ""
    counts: tuple[int, ...] = ()
    audited: tuple[str, ...] = ()
    kept: int = 0
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the promise held, and was tried."""
        existing = len(range(0, self.rows, _EXISTING_EVERY))
        complete = self.state == State.SUCCEEDED and self.counts == (self.rows - existing, existing, 0, 0)
        audit_is_complete = self.audited == ("started", "done")
        return bool(self.struck) and complete and audit_is_complete and not (self.wrong or self.untold or self.kept)

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "imports", "holds": self.holds} | asdict(self)


def run(*, kills: int, rows: int, seed: int, environment: dict[str, str] | None = None) -> Evidence:
    """Import a file in an organisation of its own, kill relays meanwhile, and check every row."""
    rng = random.Random(seed)
    fixtures.locations()
    by = fixtures.dispatcher(fixtures.organization())
    _import_now(by, _file(range(0, rows, _EXISTING_EVERY), pieces=1))
    raw = _file(range(rows), pieces=2)
    order = import_jobs.create(by=by, now=_now(), table=table.read(raw), filename="drill.csv", size=len(raw))
    evidence, began = Evidence(kills, rows), time.monotonic()
    overrides = {"LOG_LEVEL": "ERROR", "HTTPS": "0"} | (environment or {})
    with (
        contextlib.ExitStack() as cleanup,
        installation_stage("imports", relay(), fork=True, **overrides) as stage,
    ):
        cleanup.callback(pool.close_shared)
        rows_done = 0
        for _ in range(kills):
            _wait_for(partial(_has_progressed, order, rows_done))
            time.sleep(rng.uniform(0, _MAX_KILL_DELAY_SECONDS))
            stage["relay"].kill()
            stage["relay"].launch()
            latest = _reload(order)
            evidence.struck += latest.state == State.RUNNING
            rows_done = latest.done
        _wait_for(lambda: _reload(order).state not in {State.QUEUED, State.RUNNING})
    evidence.seconds = round(time.monotonic() - began, 2)
    _check(_reload(order), evidence)
    return evidence


def _check(order: Import, evidence: Evidence) -> None:
    evidence.state, evidence.attempts = order.state, order.attempt
    evidence.counts = tuple(import_jobs.counts(order).values())
    existing_references = {_reference(number) for number in range(0, evidence.rows, _EXISTING_EVERY)}
    seqs = dict(Shipment.objects.filter(organization_id=order.organization_id).values_list("reference", "seq"))
    expected_seqs = {
        _reference(number): 1 + (_reference(number) in existing_references) for number in range(evidence.rows)
    }
    events = ShipmentEvent.objects.filter(organization_id=order.organization_id).count()
    evidence.wrong = len(seqs.items() ^ expected_seqs.items()) + abs(events - sum(expected_seqs.values()))
    reported_rows = list(
        ImportedRow.objects.filter(import_id=order.pk).order_by("row").values_list("row", flat=True)
    )
    evidence.untold = (
        len(set(reported_rows) ^ set(range(2, evidence.rows + 2))) + len(reported_rows) - len(set(reported_rows))
    )
    audit_entries = AuditEntry.objects.filter(organization_id=order.organization_id, entity_id=str(order.pk))
    evidence.audited = tuple(audit_entries.order_by("at", "id").values_list("outcome", flat=True))
    evidence.kept = ImportedFile.objects.filter(pk=order.pk).count()


def _import_now(by: Subject, raw: bytes) -> None:
    parsed = table.read(raw)
    for chunk in ChunkReader(columns.match_header(parsed.header), decimal_comma=False).chunks(
        parsed.rows(), CHUNK_ROWS
    ):
        row_processing.apply_chunk(by=by, now=_now(), chunk=chunk)


def _file(numbers: range, *, pieces: int) -> bytes:
    lines = [f"{_reference(number)},NLRTM,DEHAM,{pieces}" for number in numbers]
    return "\n".join(["Reference,Origin,Destination,Pieces", *lines]).encode()


def _reference(number: int) -> str:
    return f"DRILL-{number:06d}"


def _has_progressed(order: Import, rows_done: int) -> bool:
    latest = _reload(order)
    return latest.done > rows_done or latest.state == State.SUCCEEDED


def _reload(order: Import) -> Import:
    return Import.objects.get(pk=order.pk)


def _wait_for(holds: Callable[[], Any]) -> None:
    wait_until(holds, seconds=_MAX_WAIT_SECONDS)


def _now() -> datetime:
    return datetime.now(UTC)
