"""Freight in the export bench: one Daphne, one dispatcher, and what is measured while exports run."""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx

from tests.bench.exporting import reader
from tests.bench.exporting.reader import Download

WHO: Final = "dispatcher@demo.test"
CSV: Final = "/api/exports/shipments.csv"
PDF: Final = "/api/exports/shipments.pdf"
LIVE: Final = "/api/health/live"
_SAMPLE_SECONDS: Final = 0.01


class ExportClient:
    """A dispatcher who has logged in at a Daphne."""

    def __init__(self, server: Any) -> None:
        from shipments.demo import accounts  # needs settings

        self.server = server
        who = {"email": WHO, "password": accounts.PASSWORD}
        answer = httpx.post(f"{server.url}/api/auth/login", json=who, timeout=30)
        self.headers = {"Authorization": f"Bearer {answer.raise_for_status().json()['access']}"}

    def csv(self, rows: int) -> Download:
        """Download the whole export, and retry while the server answers 429."""
        began = time.perf_counter()
        while True:
            taken = reader.download(self.server.port, CSV, self.headers)
            if taken.status != 429:
                break
            time.sleep(float(taken.headers["retry-after"]))
        if (taken.status, taken.headers.get("x-freight-rows")) != (200, str(rows)):
            raise SystemExit(f"{CSV}: {taken.status} {taken.headers}")
        taken.last = time.perf_counter() - began
        return taken

    def check_row_count(self, rows: int) -> None:
        """Count the lines of the export once."""
        with httpx.stream("GET", f"{self.server.url}{CSV}", headers=self.headers, timeout=300) as answer:
            lines = sum(block.count(b"\n") for block in answer.iter_bytes())
        if lines != rows + 1:  # no cell of the demo has a line break
            raise SystemExit(f"{CSV} has {lines} lines for {rows} rows and a header")

    def pdf(self, rows: int) -> dict[str, float]:
        """Render a report with warm renderers, then request it again."""
        for warming in (1, 201):  # loads the libraries of each engine
            self._timed(f"{PDF}?limit={warming}")
        first = self._timed(f"{PDF}?limit={rows}")
        again = statistics.median(self._timed(f"{PDF}?limit={rows}") for _ in range(10))
        return {"rows": rows, "seconds": round(first, 2), "againMs": round(again * 1000, 1)}

    @contextmanager
    def poll_liveness(self) -> Iterator[list[float]]:
        """Check liveness again and again while the block runs; yield the milliseconds of each response."""
        stopped, milliseconds = threading.Event(), list[float]()

        def poll() -> None:
            with httpx.Client(base_url=self.server.url, timeout=30) as http:
                http.get(LIVE)
                while not stopped.wait(_SAMPLE_SECONDS):
                    began = time.perf_counter()
                    http.get(LIVE).raise_for_status()
                    milliseconds.append((time.perf_counter() - began) * 1000)

        with _in_thread(poll, stopped):
            yield milliseconds

    def _timed(self, path: str) -> float:
        taken = reader.download(self.server.port, path, self.headers)
        if taken.status != 200:
            raise SystemExit(f"{path}: {taken.status}")
        return taken.last


@contextmanager
def _in_thread(target: Any, stopped: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
