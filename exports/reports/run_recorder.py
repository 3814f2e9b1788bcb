"""Record an export: its run for statistics, its entries in the audit, and its Prometheus metrics."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import Error, transaction

from exports import metrics
from exports.models import Run
from monitoring import clock
from shipments import intake
from shipments.auth.subjects import Subject

_log: Final = structlog.get_logger("exports")
_HEARTBEAT_SECONDS: Final = 20.0
# A run without a heartbeat for this long has lost its process. A client that stops reading is cut off much sooner.
STALE_AFTER: Final = timedelta(minutes=3)
_REFUSAL_INTERVAL_SECONDS: Final = 1.0
_MAX_TRACKED_CALLERS: Final = 1000
_last_refused: dict[str, float] = {}


@dataclass(slots=True)
class RunRecorder:
    """Records one export of a subject. `rows` is the count in the snapshot, `cached` whether it was a cache hit."""

    by: Subject
    report: str
    format: str
    filters: Mapping[str, str]
    rows: int = 0
    cached: bool | None = None
    action: str = "export"
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    export_id: uuid.UUID | None = None  # of a background export
    started: bool = False
    _started_monotonic: float = field(default_factory=time.monotonic)
    _last_heartbeat: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Store the run and audit the start, in one transaction. Call it before the first byte is sent."""
        now = clock.now()
        with transaction.atomic():
            Run.objects.create(
                id=self.id, organization_id=self.by.organization_id, report=self.report, format=self.format,
                rows=self.rows, cached=self.cached, started_at=now, seen_at=now, actor=_actor(self.by),
                export_id=self.export_id,
            )  # fmt: skip
            self._audit("started", {}, now)
        self.started = True

    def heartbeat(self) -> None:
        """Update `seen_at`, at most every 20 s; call it with every block."""
        if time.monotonic() - self._last_heartbeat > _HEARTBEAT_SECONDS:
            self._last_heartbeat = time.monotonic()
            Run.objects.filter(pk=self.id).update(seen_at=clock.now())

    def finish(self, outcome: str, *, sent: int) -> None:
        """Store and audit the outcome: `done`, `failed` or `cancelled`. A database error is only logged."""
        seconds = time.monotonic() - self._started_monotonic
        _count(self.format, outcome, seconds)
        try:
            with transaction.atomic():
                self._store_outcome(outcome, sent, seconds)
        except Error as error:
            _log.error("export not audited", export=str(self.id), outcome=outcome, error=type(error).__name__)

    def store_success(self, *, sent: int) -> None:
        """Store and audit that the run is done, in the caller's transaction; raises what the database raises."""
        seconds = time.monotonic() - self._started_monotonic
        self._store_outcome("done", sent, seconds)
        transaction.on_commit(lambda: _count(self.format, "done", seconds))

    def _store_outcome(self, outcome: str, sent: int, seconds: float) -> None:
        now = clock.now()
        runs = Run.objects.filter(pk=self.id)
        if outcome != "done":
            # A commit whose answer was lost may have stored its end already.
            runs = runs.exclude(outcome=Run.Outcome.DONE)
        updated = runs.update(
            outcome=outcome, rows=self.rows, bytes=sent, cached=self.cached, seen_at=now, ended_at=now
        )
        if updated:
            self._audit(outcome, {"bytes": sent, "durationMs": round(seconds * 1000)}, now)

    def record_refusal(self, reason: str) -> None:
        """Store and audit a refused export, at most once a second per caller. A database error is only logged."""
        _count(self.format, "refused", None)
        if not _should_record_refusal(self.by.limit_key):
            return
        now = clock.now()
        try:
            with transaction.atomic():
                Run.objects.create(
                    id=self.id, organization_id=self.by.organization_id, report=self.report, format=self.format,
                    outcome=Run.Outcome.REFUSED, started_at=now, seen_at=now, ended_at=now,
                )  # fmt: skip
                self._audit("refused", {"why": reason}, now)
        except Error as error:
            _log.error("refusal not audited", report=self.report, error=type(error).__name__)

    def _audit(self, outcome: str, details: Mapping[str, Any], now: datetime) -> None:
        entry = {"report": self.report, "format": self.format, "filters": dict(self.filters), "rows": self.rows}
        intake.record_audit(
            by=self.by, now=now, action=self.action, entity=self.action, entity_id=self.export_id or self.id,
            after=entry | dict(details), outcome=outcome,
        )  # fmt: skip


def fail_stale_batch(now: datetime) -> int:
    """Mark up to 100 stale runs as failed, audit them, and return how many."""
    stale = Run.objects.filter(outcome=Run.Outcome.RUNNING, seen_at__lt=now - STALE_AFTER)
    with transaction.atomic():
        runs = list(stale.order_by("seen_at").select_for_update(skip_locked=True)[:100])
        for run in runs:
            _fail_stale(run, now)
    return len(runs)


def fail_stale(run_id: uuid.UUID, now: datetime) -> None:
    """Mark one run, whose process was killed, as failed and audit it, in the caller's transaction."""
    run = Run.objects.select_for_update().filter(pk=run_id, outcome=Run.Outcome.RUNNING).first()
    if run is not None:
        _fail_stale(run, now)


def _fail_stale(run: Run, now: datetime) -> None:
    run.outcome, run.ended_at = Run.Outcome.FAILED, now
    run.save(update_fields=["outcome", "ended_at"])
    _count(run.format, run.outcome, None)
    intake.record_audit(
        by=_subject(run), now=now, action="export", entity="export", entity_id=run.export_id or run.pk,
        after={"report": run.report, "format": run.format, "rows": run.rows, "why": "Its process ended."},
        outcome="failed",
    )  # fmt: skip


def _actor(by: Subject) -> dict[str, Any]:
    return {
        "role": by.role, "user": str(by.user_id) if by.user_id else None, "name": by.key_name or by.name,
        "address": by.address, "request": by.request_id,
    }  # fmt: skip


def _subject(run: Run) -> Subject:
    actor = run.actor
    return Subject(
        organization_id=run.organization_id, role=actor["role"], name=actor["name"], address=actor["address"],
        user_id=uuid.UUID(actor["user"]) if actor["user"] else None, request_id=actor["request"],
    )  # fmt: skip


def _count(file_format: str, outcome: str, seconds: float | None) -> None:
    metrics.TOTAL.labels(file_format, outcome).inc()
    if seconds is not None:
        metrics.DURATION.observe(seconds)


def _should_record_refusal(key: str) -> bool:
    now = time.monotonic()
    if now - _last_refused.get(key, -_REFUSAL_INTERVAL_SECONDS) < _REFUSAL_INTERVAL_SECONDS:
        return False
    if len(_last_refused) >= _MAX_TRACKED_CALLERS:
        _last_refused.clear()
    _last_refused[key] = now
    return True
