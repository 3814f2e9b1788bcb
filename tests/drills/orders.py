"""A relay killed, and a table locked, at each step of an export's and an import's life: every accepted order ends.

Only processes that the drill started are killed. Stop other relays first: one that survives hides what a kill does.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import OperationalError

from exports.background import export_jobs, file_store
from exports.background.jobs import OPEN_STATES, JobType
from exports.file_imports import import_jobs, table
from exports.models import Export, Import, ImportedFile, ImportedRow, Job, Run
from exports.sandbox import pool
from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Shipment, User
from tests.drills.harness import fixtures, shipment_copies
from tests.drills.harness.failpoints import STRUCK, CallPoint
from tests.drills.harness.presets import settings_stage
from tests.drills.harness.process import relay
from tests.drills.harness.product_stage import ProductStage
from tests.drills.harness.waiting import comes_true

# Met by a loaded machine of two cores.
_END_SECONDS: Final = 60.0
_EXPORTED_ROWS: Final = 300
# Three chunks.
_IMPORTED_ROWS: Final = 250
_TABLES: Final = "exports_export, exports_import, exports_run, exports_importedrow"
_QUEUE, _EXPORT = "exports.background.job_queue:", "exports.background.export_worker:"
_IMPORT, _IMPORTS = "exports.file_imports.import_worker:", "exports.file_imports.import_jobs:"
_RECORDER: Final = "exports.reports.run_recorder:RunRecorder."
Step = tuple[str, str]
# Before or after which call. What a function did is not committed when it ends, where it says so.
_CLAIM: Final[tuple[Step, ...]] = (
    ("before", f"{_QUEUE}_claim"),
    ("after", f"{_QUEUE}_mark_running"),  # not committed
    ("after-true", f"{_QUEUE}_claim"),
)
EXPORT_STEPS: Final[tuple[Step, ...]] = (
    *_CLAIM,
    ("before", f"{_EXPORT}_write_file"),
    ("after", "exports.reports.execution:open_dataset"),
    ("before", f"{_RECORDER}start"),
    ("after", f"{_RECORDER}start"),
    ("before", f"{_EXPORT}_store_progress"),
    ("after", f"{_EXPORT}_store_progress"),
    ("after", "exports.background.file_store:write"),
    ("before", f"{_EXPORT}_finish"),
    ("before", f"{_RECORDER}store_success"),  # the export's own UPDATE is done, and not committed
    ("after", f"{_RECORDER}store_success"),  # not committed
    ("after", f"{_EXPORT}_finish"),
)
IMPORT_STEPS: Final[tuple[Step, ...]] = (
    *_CLAIM,
    ("before", f"{_IMPORTS}record_audit"),
    ("after", f"{_IMPORTS}record_audit"),  # not committed
    ("before", f"{_IMPORT}_apply_chunk"),
    ("after", "shipments.intake:import_rows"),  # not committed
    ("after", f"{_IMPORT}_apply_chunk"),
    ("before", f"{_IMPORTS}finish"),
    ("after", f"{_IMPORTS}finish"),  # not committed
    ("after", f"{_IMPORT}_apply_chunks"),
)
# Of a job whose worker was killed after the claim.
REQUEUE_STEPS: Final[tuple[Step, ...]] = (
    ("before", f"{_QUEUE}_requeue"),
    ("after-true", f"{_QUEUE}_requeue"),  # not committed
    ("after-true", f"{_QUEUE}requeue_stalled_batch"),
)
_QUICK: Final = frozenset(
    {
        "exports: kill after _mark_running",
        "exports: kill after _claim",
        "exports: lock before _claim",
        "exports: lock before RunRecorder.start",
        "exports: lock before _finish",
        "exports: kill after RunRecorder.store_success",
        "exports: kill after _claim, then lock before _requeue",
        "exports: lock before _store_failure",
        "imports: lock before _claim",
        "imports: kill after record_audit",
        "imports: lock before _apply_chunk",
        "imports: kill after import_rows",
        "imports: lock before finish",
        "imports: kill after finish",
        "imports: kill after _claim, then kill after _requeue",
    }
)
# Of an order whose owner has lost access meanwhile.
FAILURE_STEPS: Final[tuple[Step, ...]] = (("before", "_store_failure"), ("after", "_store_failure"))


@dataclass(frozen=True, slots=True)
class Row:
    """One order and what strikes its relays: `kind` of the job, the points in turn, whether it can succeed."""

    kind: str
    points: tuple[CallPoint, ...]
    succeeds: bool = True

    def __str__(self) -> str:
        return f"{self.kind}: " + ", then ".join(
            f"{point.action} {point.when.removesuffix('-true')} {point.function.rpartition(':')[2]}"
            for point in self.points
        )


@dataclass(slots=True)
class Evidence:
    """The result of one row. `struck`: every point was reached. `wrong`: what the order left that it should not."""

    row: str
    struck: bool = False
    state: str = ""
    attempts: int = 0
    wrong: str = ""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the promise held, and was tried."""
        return self.struck and not self.wrong

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "orders", "holds": self.holds} | asdict(self)


def rows() -> list[Row]:
    """Return every row: each step of both kinds, once killed and once locked."""
    claimed = CallPoint("kill", "after-true", f"{_QUEUE}_claim")
    every: list[Row] = []
    for kind, steps, worker in (("exports", EXPORT_STEPS, _EXPORT), ("imports", IMPORT_STEPS, _IMPORT)):
        for action in ("kill", "lock"):
            every += [Row(kind, (_point(action, *step),)) for step in steps]
            every += [Row(kind, (claimed, _point(action, *step))) for step in REQUEUE_STEPS]
            failures = [_point(action, when, f"{worker}{name}") for when, name in FAILURE_STEPS]
            every += [Row(kind, (point,), succeeds=False) for point in failures]
    return every


def quick_rows() -> list[Row]:
    """Return the rows that the tests run: what once left an order behind, and what commits in parts."""
    return [row for row in rows() if str(row) in _QUICK]


def run(chosen: Sequence[Row], *, environment: dict[str, str] | None = None) -> list[Evidence]:
    """Order exports and imports in an organisation of its own, strike at each row's points, and check the ends."""
    by, leaver = _create_stage_data()
    overrides = {"LOG_LEVEL": "ERROR", "HTTPS": "0"} | (environment or {})
    try:
        with settings_stage("orders", relay(), fork=True, **overrides) as stage:
            stage["relay"].stop()
            return [_run_row(stage, row, by if row.succeeds else leaver) for row in chosen]
    finally:
        pool.close_shared()


def _point(action: Any, when: Any, function: str) -> CallPoint:
    return CallPoint(action, when, function, _TABLES if action == "lock" else "")


def _run_row(stage: ProductStage, row: Row, by: Subject) -> Evidence:
    evidence, began = Evidence(str(row)), time.monotonic()
    job_type, job = _ORDERS[row.kind](by)
    if not row.succeeds:
        _set_active(by, active=False)
    struck_before = _count_strikes(stage)
    for point in row.points:
        stage["relay"].launch(failpoint=str(point))
        if point.action == "kill":
            comes_true(_END_SECONDS, lambda: not stage["relay"].is_alive())
    if not stage["relay"].is_alive():
        stage["relay"].launch()
    comes_true(_END_SECONDS, lambda: _has_ended(job_type, job))
    stage["relay"].stop()
    _set_active(by, active=True)
    ended = _reload(job_type, job)
    evidence.struck = _count_strikes(stage) - struck_before == len(row.points)
    evidence.state, evidence.attempts = ended.state, ended.attempt
    evidence.wrong = _CHECKS[row.kind](ended) if row.succeeds else _check_failed(ended)
    evidence.seconds = round(time.monotonic() - began, 2)
    return evidence


def _set_active(by: Subject, *, active: bool) -> None:
    User.objects.filter(pk__in=[by.user_id]).update(is_active=active)


def _count_strikes(stage: ProductStage) -> int:
    return stage["relay"].log_text().count(STRUCK)


def _has_ended(job_type: JobType, job: Job) -> bool:
    try:
        return _reload(job_type, job).state not in OPEN_STATES
    except OperationalError:  # the lock of the row's point is ours to wait for, too
        return False


def _reload(job_type: JobType, job: Job) -> Any:
    return job_type.jobs.get(pk=job.pk)


def _create_stage_data() -> tuple[Subject, Subject]:
    """Store an organisation with shipments and two dispatchers; one of them will lose access."""
    fixtures.locations()
    organization = fixtures.organization()
    by = fixtures.dispatcher(organization)
    shipment = services.book(by=by, now=_now(), origin="NLRTM", destination="DEHAM", status="booked")
    shipment_copies.insert_copies(shipment.pk, _EXPORTED_ROWS)
    return by, fixtures.dispatcher(organization)


def _order_export(by: Subject) -> tuple[JobType, Job]:
    filters = {"limit": str(_EXPORTED_ROWS)}
    job = export_jobs.create(by=by, now=_now(), report="shipments", file_format="ndjson", filters=filters)
    return export_jobs.JOB_TYPE, job


def _order_import(by: Subject) -> tuple[JobType, Job]:
    stamp = f"{time.time_ns():x}"
    lines = [f"O-{stamp}-{number},NLRTM,DEHAM" for number in range(_IMPORTED_ROWS)]
    raw = "\n".join(["Reference,Origin,Destination", *lines]).encode()
    job = import_jobs.create(by=by, now=_now(), table=table.read(raw), filename=stamp, size=len(raw))
    return import_jobs.JOB_TYPE, job


def _check_export(export: Export) -> str:
    """Return what is wrong with an export that had to succeed."""
    if export.state != Export.State.SUCCEEDED:
        return f"{export.state}: {export.error}"
    body = file_store.path_of(export.file).read_bytes()
    file_store.remove(export.file)
    if (len(body), hashlib.sha256(body).hexdigest()) != (export.size, export.sha256):
        return "The file is not the recorded one."
    if (lines := body.count(b"\n")) != _EXPORTED_ROWS:
        return f"It has {lines} rows."
    outcomes = list(Run.objects.filter(export_id=export.pk).values_list("outcome", flat=True))
    ends = _audited(export).count("done")
    return "" if outcomes.count("done") == ends == 1 and "running" not in outcomes else f"{outcomes}, {ends} ends"


def _check_import(job: Import) -> str:
    """Return what is wrong with an import that had to succeed."""
    if job.state != Import.State.SUCCEEDED:
        return f"{job.state}: {job.error}"
    own = Shipment.objects.filter(organization_id=job.organization_id)
    booked = own.filter(reference__startswith=f"O-{job.filename}-")
    reported = ImportedRow.objects.filter(import_id=job.pk).values_list("row", flat=True)
    counted = (booked.filter(seq=1).count(), len(reported), len(set(reported)), job.created, job.done)
    if counted != (_IMPORTED_ROWS,) * 5:
        return f"booked, reported, counted: {counted}"
    if ImportedFile.objects.filter(pk=job.pk).exists():
        return "Its file was kept."
    audited = _audited(job)
    return "" if audited == ["started", "done"] else f"audited as {audited}"


def _check_failed(job: Job) -> str:
    if job.state != Job.State.FAILED or "no longer has access" not in job.error:
        return f"{job.state}: {job.error}"
    return "" if job.attempt <= 2 else f"{job.attempt} attempts"


def _audited(job: Job) -> list[str]:
    entries = AuditEntry.objects.filter(organization_id=job.organization_id, entity_id=str(job.pk))
    return list(entries.order_by("at", "id").values_list("outcome", flat=True))


def _now() -> datetime:
    return datetime.now(UTC)


_ORDERS: Final[dict[str, Callable[[Subject], tuple[JobType, Job]]]] = {
    "exports": _order_export,
    "imports": _order_import,
}
_CHECKS: Final[dict[str, Callable[[Any], str]]] = {"exports": _check_export, "imports": _check_import}
