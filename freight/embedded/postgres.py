"""A private PostgreSQL 18: initdb on first start, cleaned up after a crash, stopped by the fast shutdown."""

import os
import shutil
import signal
import struct
import subprocess
from pathlib import Path

from freight.embedded import binaries
from freight.embedded.errors import EmbeddedError
from freight.embedded.layout import POSTGRES_SOCKET, Layout
from freight.embedded.processes import Identity, pids_with_cwd, replies, spawn, unprivileged_identity, wait_until

_CONFIGURATION = """\
# Written at every start: put your own lines into {local}.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 8MB
maintenance_work_mem = 128MB
max_wal_size = 1GB
min_wal_size = 80MB
random_page_cost = 1.1          # an SSD, or all in memory
jit = off                       # short queries: compiling costs more than it saves
synchronous_commit = on         # a committed event survives a crash
fsync = {durable}
full_page_writes = {durable}
checkpoint_timeout = 15min
autovacuum_naptime = 20s
shared_preload_libraries = 'pg_stat_statements'
track_io_timing = on
log_line_prefix = '%m [%p] %q%a '
log_min_error_statement = panic # a statement that fails has values in its text,
log_error_verbosity = terse     # and its error in the detail
log_timezone = 'UTC'
timezone = 'UTC'
include_if_exists '{local}'
"""
# The socket's folder of mode 0700 controls the access.
_ACCESS = "local all all trust\n"
_BOOTSTRAP = """\
\\set ON_ERROR_STOP 1
SELECT 'CREATE ROLE freight LOGIN CREATEDB'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'freight') \\gexec
GRANT pg_read_all_stats TO freight;
\\connect template1
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
GRANT EXECUTE ON FUNCTION pg_stat_statements_reset TO freight;
SELECT 'CREATE DATABASE freight OWNER freight'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'freight') \\gexec
"""
_MAJOR = "18"
# The message of the protocol that costs least: one byte says whether the server speaks TLS.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_START_SECONDS = 60.0  # recovery after a crash replays the WAL since the last checkpoint


class Postgres:
    """One PostgreSQL server on one data directory. The caller holds the home's lock."""

    name = "PostgreSQL"

    def __init__(self, layout: Layout, *, durable: bool = True) -> None:
        self._layout = layout
        self._durable = durable
        self._programs = binaries.postgres_folder()
        self._identity = Identity()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._layout.logs / "postgres.log"

    def launch(self) -> None:
        """Start the server without waiting for it; raises EmbeddedError where it cannot."""
        data = self._layout.database
        self._identity = unprivileged_identity(self._programs / "postgres", data)
        self._clean_up_after_crash()
        if not data.exists():
            self._create()
        version = (data / "PG_VERSION").read_text().strip()
        if version != _MAJOR:
            raise EmbeddedError(
                f"{data} was made by PostgreSQL {version} and this is {_MAJOR}: move it away, or dump it "
                "with the old version and restore it here."
            )
        self._configure()
        self._identity.adopt(data)
        self.process = spawn(
            [self._programs / "postgres", "-D", data],
            log=self.log,
            cwd=data,
            # Immediate shutdown: without a supervisor no process waits for a checkpoint, and recovery is safe.
            when_orphaned=signal.SIGQUIT,
            identity=self._identity,
        )

    def wait_ready(self) -> None:
        """Wait until it accepts connections, and create role and database; raises EmbeddedError after 60 s."""
        if not wait_until(self._ready, seconds=_START_SECONDS):
            raise EmbeddedError(f"PostgreSQL is not ready after {_START_SECONDS:.0f} s: see {self.log}.")
        marker = self._layout.home / "postgres.ready"
        if not marker.exists():
            self._run("psql", "-X", "-q", "-h", self._layout.sockets, "-U", "postgres", "-d", "postgres",
                      stdin_text=_BOOTSTRAP)  # fmt: skip
            marker.touch()

    def answers(self) -> bool:
        """Return whether it answers within a second."""
        return replies(self._layout.sockets / POSTGRES_SOCKET, _SSL_REQUEST)

    def request_stop(self) -> None:
        """Request the fast shutdown: it ends sessions and writes a checkpoint."""
        if self.process:
            self.process.send_signal(signal.SIGINT)

    def force_stop(self) -> None:
        """End the server at once; the next start recovers from the log."""
        if self.process:
            self.process.send_signal(signal.SIGQUIT)

    def _ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise EmbeddedError(f"PostgreSQL ended while starting: see {self.log}.")
        try:
            lines = (self._layout.database / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # pg_ctl, too, waits for the eighth line (LOCK_FILE_LINE_PM_STATUS in miscadmin.h).
        return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].startswith("ready")

    def _create(self) -> None:
        # Created under another name and renamed: an interrupted initdb must not look like a data directory.
        new_folder = self._layout.database.with_name("postgres.new")
        shutil.rmtree(new_folder, ignore_errors=True)
        (self._layout.home / "postgres.ready").unlink(missing_ok=True)
        new_folder.mkdir(mode=0o700)
        self._identity.adopt(new_folder)
        self._run(
            "initdb", "-D", new_folder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            *(() if self._durable else ("--no-sync",)),
        )  # fmt: skip
        new_folder.rename(self._layout.database)

    def _configure(self) -> None:
        data = self._layout.database
        settings = _CONFIGURATION.format(
            sockets=_quoted(self._layout.sockets),
            local=_quoted(self._layout.home / "postgres.local.conf"),
            durable="on" if self._durable else "off",
        )
        (data / "postgresql.conf").write_text(settings)
        (data / "pg_hba.conf").write_text(_ACCESS)

    def _clean_up_after_crash(self) -> None:
        """End the processes that a killed supervisor left, and remove a stale pid file and sockets.

        PostgreSQL checks only that *some* process has the id in its pid file. After a reboot or in a restarted
        container that is often another program, and it would never start again.
        """
        data = self._layout.database
        for signum, seconds in ((signal.SIGQUIT, 3.0), (signal.SIGKILL, 3.0)):
            pids = pids_with_cwd(data)
            for pid in pids:
                _signal(pid, signum)
            if not pids or wait_until(lambda: not pids_with_cwd(data), seconds=seconds):
                break
        else:
            raise EmbeddedError(f"A PostgreSQL of an earlier run is still in {data}: end it and try again.")
        (data / "postmaster.pid").unlink(missing_ok=True)
        for name in (POSTGRES_SOCKET, f"{POSTGRES_SOCKET}.lock"):
            (self._layout.sockets / name).unlink(missing_ok=True)

    def _run(self, program: str, *arguments: str | Path, stdin_text: str = "") -> None:
        command = [*self._identity.prefix, str(self._programs / program), *map(str, arguments)]
        result = subprocess.run(
            command,
            input=stdin_text,
            text=True,
            capture_output=True,
            check=False,
            cwd=self._layout.home,
            preexec_fn=self._identity.enter,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        )
        if result.returncode:
            raise EmbeddedError(f"{program} failed: {(result.stderr or result.stdout).strip()[-400:]}")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _signal(pid: int, signum: signal.Signals) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return
