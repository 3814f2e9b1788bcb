"""The relay killed at random while it imports: every row takes effect once, and is in the report once.

Only processes that the drill started are killed, on a database of its own.
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
from tests.drills.harness.environment import require_own_database
from tests.drills.harness.presets import settings_stage
from tests.drills.harness.process import ProductProcess, relay
from tests.drills.harness.waiting import wait_until

MAX_WAIT_SECONDS: Final = 120.0
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
    `ended_by`: what was waited for in vain.
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
    ended_by: str = ""

    @property
    def holds(self) -> bool:
        """Whether the promise held, and was tried."""
        existing = len(range(0, self.rows, _EXISTING_EVERY))
        complete = self.state == State.SUCCEEDED and self.counts == (self.rows - existing, existing, 0, 0)
        audit_is_complete = self.audited == ("started", "done")
        broken = self.wrong or self.untold or self.kept or self.ended_by
        return bool(self.struck) and complete and audit_is_complete and not broken

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "imports", "holds": self.holds} | asdict(self)


def run(*, kills: int, rows: int, seed: int, environment: dict[str, str] | None = None) -> Evidence:
    """Import a file in an organisation of its own, kill relays meanwhile, and check every row."""
    require_own_database()
    fixtures.locations()
    by = fixtures.dispatcher(fixtures.organization())
    _import_now(by, _file(range(0, rows, _EXISTING_EVERY), pieces=1))
    raw = _file(range(rows), pieces=2)
    order = import_jobs.create(by=by, now=_now(), table=table.read(raw), filename="drill.csv", size=len(raw))
    evidence, began = Evidence(kills, rows), time.monotonic()
    overrides = {"LOG_LEVEL": "ERROR", "HTTPS": "0"} | (environment or {})
    with (
        contextlib.ExitStack() as cleanup,
        settings_stage("imports", relay(), fork=True, **overrides) as stage,
    ):
        cleanup.callback(pool.close_shared)
        try:
            _kill_relays(stage["relay"], order, evidence, random.Random(seed))
        except TimeoutError as error:
            evidence.ended_by = str(error)
    evidence.seconds = round(time.monotonic() - began, 2)
    _check(_reload(order), evidence)
    return evidence


def _kill_relays(process: ProductProcess, order: Import, evidence: Evidence, rng: random.Random) -> None:
    """Kill the relay while the import runs, and wait until it has ended; raises TimeoutError where it does not."""
    rows_done = 0
    for _ in range(evidence.kills):
        _wait_for(partial(_has_progressed, order, rows_done), f"The import stands at row {rows_done}.")
        time.sleep(rng.uniform(0, _MAX_KILL_DELAY_SECONDS))
        process.kill()
        process.launch()
        latest = _reload(order)
        evidence.struck += latest.state == State.RUNNING
        rows_done = latest.done
    _wait_for(lambda: _reload(order).state not in {State.QUEUED, State.RUNNING}, "The import did not end.")


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
    for chunk in ChunkReader(columns.match_header(parsed.header), decimal_marks=".").chunks(
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


def _wait_for(holds: Callable[[], Any], otherwise: str) -> None:
    wait_until(holds, seconds=MAX_WAIT_SECONDS, detail=lambda: otherwise)


def _now() -> datetime:
    return datetime.now(UTC)
