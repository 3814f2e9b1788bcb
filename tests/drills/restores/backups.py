"""Three ways to put a stage's PostgreSQL back to an earlier state, by PostgreSQL's own programs."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import psycopg

from freight.embedded import binaries
from tests.drills.harness.backing_services import PostgresService

_START_SECONDS: Final = 60.0


class Backup(Protocol):
    """A backup of the database, taken when it was made."""

    def __init__(self, database: PostgresService) -> None: ...
    def restore(self) -> None:
        """Put the database back and return once it takes connections. Only from the main thread."""


class Dump:
    """`pg_dump`, and `pg_restore` into a new database of the same server."""

    def __init__(self, database: PostgresService) -> None:
        self._database, self._file = database, database.home / "freight.dump"
        _run("pg_dump", "-Fc", "-f", self._file, "-d", database.url)

    def restore(self) -> None:
        """Replace the database within the running server, whose sessions are ended."""
        maintenance_url = self._database.url.replace("/freight?", "/postgres?")
        with psycopg.connect(maintenance_url, autocommit=True) as connection:
            connection.execute("DROP DATABASE freight WITH (FORCE)")
            connection.execute("CREATE DATABASE freight OWNER freight TEMPLATE template0")
        _run("pg_restore", "-d", self._database.url, self._file)


class BaseBackup:
    """`pg_basebackup`, put in the place of the data directory and started without a recovery target."""

    options: tuple[str, ...] = ()

    def __init__(self, database: PostgresService) -> None:
        self._database, self._folder = database, database.home / "backup"
        shutil.rmtree(self._folder, ignore_errors=True)
        database.allow_replication()
        host = ("-h", database.socket.parent, "-U", "postgres")
        _run("pg_basebackup", "-D", self._folder, "-X", "stream", "-c", "fast", *self.options, *host)

    def restore(self) -> None:
        """Crash the server and start it from the copy."""
        database = self._database
        database.crash()
        shutil.rmtree(database.data)
        self._folder.rename(database.data)
        database.launch()
        self._after_start()
        database.wait_ready()

    def _after_start(self) -> None:
        """Do what the started copy still needs."""


class Replica(BaseBackup):
    """`pg_basebackup -R`: a replica that lacks the last commits, promoted in the place of its primary."""

    options = ("-R",)

    def _after_start(self) -> None:
        _wait_for_connections(lambda: psycopg.connect(self._database.url, autocommit=True).close())
        with psycopg.connect(self._database.url, autocommit=True) as connection:
            row = connection.execute("SELECT pg_is_in_recovery(), pg_promote()").fetchone()
        if row != (True, True):
            raise RuntimeError(f"The replica was not promoted: {row}")


def _wait_for_connections(connect: Callable[[], None]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return connect()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _run(program: str, *arguments: str | Path) -> None:
    result = subprocess.run(
        [str(binaries.postgres_folder() / program), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if result.returncode:
        raise RuntimeError(f"{program} failed: {result.stderr[-2000:]}")
