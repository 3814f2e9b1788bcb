"""The relay killed at random while it writes exports: every file is whole, and no partial file is ever served.

Only processes that the drill started are killed, on a database of its own.
"""

import hashlib
import io
import random
import threading
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pikepdf
from django.db import connection

from exports.background import export_jobs, file_store, job_queue, jobs
from exports.models import Export
from shipments import services
from shipments.auth.subjects import Subject
from tests.drills.harness import fixtures, shipment_copies
from tests.drills.harness.environment import require_own_database, unlimited
from tests.drills.harness.presets import settings_stage
from tests.drills.harness.process import ProductProcess, api, relay
from tests.drills.harness.waiting import wait_until

_DISPATCHERS: Final = 2
_POLL_SECONDS: Final = 0.05
# Met by a loaded machine of two cores.
SETTLE_SECONDS: Final = 120.0
# The longest time from an export's start to the kill, for each row: less than the fastest format takes.
_MAX_SECONDS_PER_ROW: Final = 10e-6
Menu = tuple[tuple[str, int | None], ...]
# Format and limit of the exports, in turn. The slow formats start renderers, and have fewer rows.
STREAMED: Final[Menu] = (("csv", None), ("ndjson", None), ("json", None))
EVERYTHING: Final[Menu] = (*STREAMED, ("pdf", 250), ("csv", None), ("xlsx", 400))
State = Export.State


@dataclass(slots=True)
class Evidence:
    """The result of the drill.

    `struck`: attempts that were running when their relay was killed. `wrong`: files whose rows, size or hash are
    not the recorded ones. `cut`: downloads that were not the whole file, or came before there was one. `given_up`:
    exports that failed after their last attempt. `ended_by`: what was waited for in vain.
    """

    kills: int
    struck: int = 0
    finished: int = 0
    given_up: int = 0
    unfinished: int = 0
    attempts: int = 0
    wrong: int = 0
    downloads: int = 0
    cut: int = 0
    left_over: int = 0
    settled_s: float = 0.0
    ended_by: str = ""

    @property
    def holds(self) -> bool:
        """Whether the promise held, and was tried."""
        return bool(self.struck and self.finished and self.downloads) and not (
            self.unfinished or self.wrong or self.cut or self.ended_by
        )

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "exports", "holds": self.holds} | asdict(self)


@dataclass(slots=True)
class _ExportOrders:
    """The exports of one organisation: who orders them, and what."""

    dispatchers: list[tuple[Subject, str]]
    rows: int
    menu: Menu
    rng: random.Random
    keys: dict[uuid.UUID, str] = field(default_factory=dict)  # by export, the key of its owner

    def fill_slots(self) -> None:
        """Create for each dispatcher as many exports as one may have open."""
        for by, key in self.dispatchers:
            for _ in range(jobs.MAX_OPEN_PER_USER - self._count_open(by)):
                format, limit = self.menu[len(self.keys) % len(self.menu)]  # noqa: A001  the API's own name
                filters = {"limit": str(limit)} if limit else {}
                export = export_jobs.create(
                    by=by, now=_now(), report="shipments", file_format=format, filters=filters
                )
                self.keys[export.pk] = key

    def exports_in(self, *states: str) -> list[Export]:
        """Return the exports, or those in some states."""
        exports = Export.objects.filter(pk__in=list(self.keys))
        return list(exports.filter(state__in=states) if states else exports)

    def running_attempts(self) -> set[tuple[uuid.UUID, int]]:
        """Return the attempts, by export, in state "running"."""
        return {(export.pk, export.attempt) for export in self.exports_in(State.RUNNING)}

    def order_and_list_running(self) -> set[tuple[uuid.UUID, int]]:
        """Fill the slots, and return the running attempts."""
        self.fill_slots()
        return self.running_attempts()

    def expected_rows(self, export: Export) -> int:
        """Return how many rows an export must have."""
        return min(self.rows, int(export.filters.get("limit", self.rows)))

    def _count_open(self, by: Subject) -> int:
        return int(jobs.owned_by(export_jobs.JOB_TYPE, by).filter(state__in=jobs.OPEN_STATES).count())


def run(*, kills: int, rows: int, menu: Menu, seed: int, environment: dict[str, str] | None = None) -> Evidence:
    """Order exports in an organisation of its own, kill relays, and check every file and download."""
    require_own_database()
    export_orders = _create_orders(rows, menu, random.Random(seed))
    evidence = Evidence(kills)
    limits = unlimited("general_max", "export_max")
    overrides = limits | {"LOG_LEVEL": "ERROR", "HTTPS": "0"} | (environment or {})
    with (
        settings_stage("exports", api(), relay(), fork=True, **overrides) as stage,
        _downloading(export_orders, stage.port, evidence),
    ):
        try:
            _kill_relays(stage["relay"], export_orders, evidence)
            _settle(export_orders, evidence)
        except TimeoutError as error:
            evidence.ended_by = str(error)
    _check(export_orders, evidence)
    return evidence


def _kill_relays(process: ProductProcess, export_orders: _ExportOrders, evidence: Evidence) -> None:
    """Kill the relay while exports run, again and again; raises TimeoutError where none begins to run."""
    struck = set[tuple[uuid.UUID, int]]()
    for _ in range(evidence.kills):
        wait_until(
            lambda: export_orders.order_and_list_running() - struck,
            seconds=SETTLE_SECONDS,
            detail=lambda: f"No export began to run after {len(struck)} attempts were struck.",
        )
        time.sleep(export_orders.rng.uniform(0, _MAX_SECONDS_PER_ROW * export_orders.rows))
        # An attempt whose relay was killed before is in state "running" until it is recovered.
        running = export_orders.running_attempts() - struck
        process.kill()
        # What finished between the look and the kill was not struck.
        struck.update(running & export_orders.running_attempts())
        evidence.struck = len(struck)
        process.launch()


def _settle(export_orders: _ExportOrders, evidence: Evidence) -> None:
    """Wait until every export has ended and was downloaded once more; raises TimeoutError."""
    began = time.monotonic()
    wait_until(
        lambda: not export_orders.exports_in(State.QUEUED, State.RUNNING),
        seconds=SETTLE_SECONDS,
        detail=lambda: f"{len(export_orders.exports_in(State.QUEUED, State.RUNNING))} exports did not end.",
    )
    evidence.settled_s = round(time.monotonic() - began, 2)
    downloads, last = evidence.downloads, len(export_orders.keys)
    wait_until(
        lambda: evidence.downloads > downloads + last,
        seconds=SETTLE_SECONDS,
        detail=lambda: "The last files were not downloaded.",
    )


def _check(export_orders: _ExportOrders, evidence: Evidence) -> None:
    for export in export_orders.exports_in():
        evidence.attempts += export.attempt
        if export.state == State.SUCCEEDED:
            evidence.finished += 1
            evidence.wrong += not _is_complete(
                export, file_store.path_of(export.file).read_bytes(), export_orders.expected_rows(export)
            )
        elif export.state == State.FAILED and export.attempt >= job_queue.MAX_ATTEMPTS:
            evidence.given_up += 1
        else:
            evidence.unfinished += 1
        evidence.left_over += len(list(file_store.directory().glob(f"{export.pk}-*")))
        file_store.remove(export.file)
    evidence.left_over -= evidence.finished


def _is_complete(export: Export, body: bytes, rows: int) -> bool:
    """Tell whether a file has the recorded rows, size and hash, and can be parsed to its last row."""
    recorded = (export.total, export.done, export.size, export.sha256)
    return recorded == (rows, rows, len(body), hashlib.sha256(body).hexdigest()) and _ROW_CHECKS[export.format](
        body, rows
    )


def _check_xlsx(body: bytes, rows: int) -> bool:
    with zipfile.ZipFile(io.BytesIO(body)) as book:
        return book.read("xl/worksheets/sheet1.xml").count(b"<row ") == rows + 1


def _check_pdf(body: bytes, rows: int) -> bool:
    """Tell whether a PDF can be read to its end; the tests compare its rows."""
    with pikepdf.open(io.BytesIO(body)) as pdf:
        return len(pdf.pages) > rows // 50


_ROW_CHECKS: Final[Mapping[str, Callable[[bytes, int], bool]]] = {
    "csv": lambda body, rows: body.count(b"\n") == rows + 1,
    "ndjson": lambda body, rows: body.count(b"\n") == rows,
    "json": lambda body, rows: len(orjson.loads(body)) == rows,
    "xlsx": _check_xlsx,
    "pdf": _check_pdf,
}


@contextmanager
def _downloading(export_orders: _ExportOrders, port: int, evidence: Evidence) -> Iterator[None]:
    """Try to download every export again and again, and check each response, while the block runs."""
    stopped = threading.Event()

    def download_all() -> None:
        while not stopped.is_set():
            for export_id, key in list(export_orders.keys.items()):
                status, etag, body = _get(f"http://127.0.0.1:{port}/api/exports/{export_id}/file", key)
                if status == 200:
                    evidence.downloads += 1
                    evidence.cut += etag != f'"{hashlib.sha256(body).hexdigest()}"'
                elif status not in {404, 409}:  # no file yet
                    evidence.cut += 1
                if stopped.wait(_POLL_SECONDS):
                    return

    thread = threading.Thread(target=download_all, name="downloads")
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _get(url: str, key: str) -> tuple[int, str, bytes]:
    """Return status, ETag and body; status 0 where the request fails or the body is cut."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})  # noqa: S310  this machine's own server
    try:
        with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310  this machine's own server
            return response.status, response.headers.get("ETag", ""), response.read()
    except urllib.error.HTTPError as error:
        return error.code, "", b""
    except OSError:
        return 0, "", b""


def _create_orders(rows: int, menu: Menu, rng: random.Random) -> _ExportOrders:
    organization = fixtures.organization()
    fixtures.locations()
    people = [fixtures.dispatcher_with_key(organization, ["exports:read"]) for _ in range(_DISPATCHERS)]
    shipment = services.book(by=people[0][0], now=_now(), origin="NLRTM", destination="DEHAM", status="booked")
    shipment_copies.insert_copies(shipment.pk, rows)
    connection.close()
    return _ExportOrders(people, rows, menu, rng)


def _now() -> datetime:
    return datetime.now(UTC)
