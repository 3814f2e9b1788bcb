"""The relay killed at random while it imports: every row takes effect once, and the report tells of each once.

Only processes that it started are killed. It is as strong as its relays are alone: stop others first.
"""

import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from exports.imports import applying, columns, orders, table
from exports.imports.applying import CHUNK_ROWS, ChunkReader
from exports.models import Import, ImportedFile, ImportedRow
from exports.pdf import pool
from freight.drills import ground
from freight.drills.delivery.nursery import Nursery
from shipments.access import Subject
from shipments.models import AuditEntry, Shipment, ShipmentEvent

_SETTLE_SECONDS: Final = 120.0
# From the moment in which rows have been applied since the last kill to the next one.
_LONGEST_SECONDS: Final = 0.3
# One row in so many is of a shipment that is there already.
_KNOWN: Final = 4
State = Import.State


@dataclass(slots=True)
class Evidence:
    """What the drill found.

    `struck`: kills that met the import at work. `wrong`: shipments that were not booked once, or amended once where
    they were there before. `untold`: rows that the report leaves out or tells twice.
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
        known = len(range(0, self.rows, _KNOWN))
        whole = self.state == State.SUCCEEDED and self.counts == (self.rows - known, known, 0, 0)
        told = self.audited == ("started", "done")
        return bool(self.struck) and whole and told and not (self.wrong or self.untold or self.kept)

    def told(self) -> dict[str, Any]:
        """This will return the evidence as one JSON object."""
        return {"drill": "imports", "holds": self.holds} | asdict(self)


def run(*, kills: int, rows: int, seed: int, environment: dict[str, str] | None = None) -> Evidence:
    """This will import a file in an organisation of its own, kill relays meanwhile, and check every row."""
    chance = random.Random(seed)  # noqa: S311  a drill is repeatable
    by = ground.dispatcher(ground.organization())
    _bring(by, _file(range(0, rows, _KNOWN), pieces=1))
    raw = _file(range(rows), pieces=2)
    order = orders.create(by=by, now=_now(), table=table.read(raw), filename="drill.csv", size=len(raw))
    evidence, began = Evidence(kills, rows), time.monotonic()
    with _relay(environment or {}) as relay:
        done = 0
        for _ in range(kills):
            _settled(lambda: _look(order).done > done or _look(order).state == State.SUCCEEDED)  # noqa: B023
            time.sleep(chance.uniform(0, _LONGEST_SECONDS))
            relay.kill()
            seen = _look(order)
            evidence.struck += seen.state == State.RUNNING
            done = seen.done
        _settled(lambda: _look(order).state not in {State.QUEUED, State.RUNNING})
    evidence.seconds = round(time.monotonic() - began, 2)
    _check(_look(order), evidence)
    return evidence


def _check(order: Import, evidence: Evidence) -> None:
    evidence.state, evidence.attempts = order.state, order.attempt
    evidence.counts = tuple(orders.counts(order).values())
    known = {_reference(number) for number in range(0, evidence.rows, _KNOWN)}
    found = dict(Shipment.objects.filter(organization_id=order.organization_id).values_list("reference", "seq"))
    wanted = {_reference(number): 1 + (_reference(number) in known) for number in range(evidence.rows)}
    events = ShipmentEvent.objects.filter(organization_id=order.organization_id).count()
    evidence.wrong = len(found.items() ^ wanted.items()) + abs(events - sum(wanted.values()))
    told = list(ImportedRow.objects.filter(import_id=order.pk).order_by("row").values_list("row", flat=True))
    evidence.untold = len(set(told) ^ set(range(2, evidence.rows + 2))) + len(told) - len(set(told))
    trail = AuditEntry.objects.filter(organization_id=order.organization_id, entity_id=str(order.pk))
    evidence.audited = tuple(trail.order_by("at", "id").values_list("outcome", flat=True))
    evidence.kept = ImportedFile.objects.filter(pk=order.pk).count()


class _Relay:
    """A relay that can be killed as the kernel does."""

    def __init__(self, nursery: Nursery, log: Path) -> None:
        self._nursery, self._log = nursery, str(log)
        self._pid = self._start()

    def kill(self) -> None:
        """This will kill it and start another."""
        self._nursery.ask(do="signal", pid=self._pid, number=int(signal.SIGKILL))
        _settled(lambda: self._nursery.ask(do="status", pid=self._pid)["status"] is not None)
        self._pid = self._start()

    def _start(self) -> int:
        return int(self._nursery.ask(do="start", command="relay", options={}, log=self._log)["pid"])


@contextmanager
def _relay(environment: dict[str, str]) -> Iterator[_Relay]:
    with tempfile.TemporaryDirectory(prefix="freight-imports-") as name:
        folder = Path(name)
        more = {"METRICS_DIR": str(folder / "metrics"), "LOG_LEVEL": "ERROR", "HTTPS": "0"}
        nursery = Nursery(more | environment, folder / "nursery.log")
        try:
            yield _Relay(nursery, folder / "relay.log")
        finally:
            nursery.stop()
            pool.close_shared()


def _bring(by: Subject, raw: bytes) -> None:
    read = table.read(raw)
    for chunk in ChunkReader(columns.match_header(read.header), decimal_comma=False).chunks(read.rows(), CHUNK_ROWS):
        applying.apply_chunk(by=by, now=_now(), chunk=chunk)


def _file(numbers: range, *, pieces: int) -> bytes:
    lines = [f"{_reference(number)},NLRTM,DEHAM,{pieces}" for number in numbers]
    return "\n".join(["Reference,Origin,Destination,Pieces", *lines]).encode()


def _reference(number: int) -> str:
    return f"DRILL-{number:06d}"


def _look(order: Import) -> Import:
    return Import.objects.get(pk=order.pk)


def _settled(holds: Callable[[], Any]) -> None:
    ground.wait(holds, _SETTLE_SECONDS)


def _now() -> datetime:
    return datetime.now(UTC)
