"""A private PostgreSQL and Valkey without a supervisor: killed, frozen and started again at will."""

import contextlib
import signal
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
import redis

from freight.embedded import layout as layouts
from freight.embedded.layout import Endpoints, Layout
from freight.embedded.postgres import Postgres
from freight.embedded.valkey import Valkey
from tests.drills.harness import procfs
from tests.drills.harness.environment import own_server, starting_process

# The checker reads when a transaction was committed.
_LOCAL_SETTINGS: Final = "track_commit_timestamp = on\nmax_connections = {connections}\n"
_CONNECTIONS: Final = 200


class PostgresService:
    """The stage's PostgreSQL."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        own_server(layout)
        self._server = Postgres(layout, durable=False)
        self._frozen_pids: list[int] = []
        self.set_max_connections(_CONNECTIONS)

    @property
    def url(self) -> str:
        """The URL at which the checker reads as superuser, past every limit and fault that the product meets."""
        return f"postgresql://postgres@/freight?host={quote(str(self._layout.sockets))}"

    @property
    def socket(self) -> Path:
        """The unix socket."""
        return self._layout.sockets / ".s.PGSQL.5432"

    @property
    def home(self) -> Path:
        """The folder that holds the data directory."""
        return self._layout.home

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._layout.database

    def allow_replication(self) -> None:
        """Let a superuser on the unix socket copy the running server, until its next start."""
        with (self.data / "pg_hba.conf").open("a") as access:
            access.write("local replication postgres trust\n")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")

    def set_max_connections(self, connections: int = _CONNECTIONS) -> None:
        """Set how many connections the next start admits."""
        (self._layout.home / "postgres.local.conf").write_text(_LOCAL_SETTINGS.format(connections=connections))

    def launch(self) -> None:
        """Start the server without waiting for it. Only from the main thread: it ends with its parent."""
        with starting_process():
            self._server.launch()

    def wait_ready(self) -> None:
        """Return once connections are taken."""
        self._server.wait_ready()

    def crash(self) -> None:
        """End the server by its immediate shutdown: the next start recovers from the log."""
        self._server.force_stop()
        if self._server.process:
            self._server.process.wait(20)

    def freeze(self) -> list[int]:
        """Stop every process of the server, which keeps its connections, and return their ids."""
        if self._server.process is None:
            return []
        # The postmaster first: it starts no new backend then.
        server = self._server.process.pid
        procfs.send_signal(signal.SIGSTOP, [server])
        self._frozen_pids = [server, *procfs.children(server)]
        procfs.send_signal(signal.SIGSTOP, self._frozen_pids)
        return self._frozen_pids

    def thaw(self) -> None:
        """Let the server go on."""
        procfs.send_signal(signal.SIGCONT, reversed(self._frozen_pids))
        self._frozen_pids = []

    def sessions(self) -> list[int]:
        """Return the ids of the server's processes but the postmaster."""
        process = self._server.process
        return procfs.children(process.pid) if process and process.poll() is None else []

    def stop(self) -> None:
        """End the server."""
        self.thaw()
        self._server.request_stop()
        if self._server.process:
            with contextlib.suppress(Exception):
                self._server.process.wait(10)
            if self._server.process.poll() is None:
                self._server.force_stop()
                self._server.process.wait(10)


class ValkeyService:
    """The stage's Valkey."""

    def __init__(self, layout: Layout) -> None:
        self._server = Valkey(layout)

    def launch(self) -> None:
        """Start the server without waiting for it. Only from the main thread: it ends with its parent."""
        with starting_process():
            self._server.launch()

    def wait_ready(self) -> None:
        """Return once a PING is answered."""
        self._server.wait_ready()

    def kill(self) -> None:
        """End the server by SIGKILL."""
        self._signal(signal.SIGKILL)
        if self._server.process:
            self._server.process.wait(10)

    def freeze(self) -> list[int]:
        """Stop the server, which then takes connections and answers nothing; return its process id."""
        self._signal(signal.SIGSTOP)
        return [self._server.process.pid] if self._server.process else []

    def thaw(self) -> None:
        """Let the server go on."""
        self._signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        """Return a new client; the caller closes it."""
        return redis.Redis(unix_socket_path=str(self._server.socket), socket_timeout=5)

    def stop(self) -> None:
        """End the server."""
        self.thaw()
        self.kill()

    def _signal(self, signum: signal.Signals) -> None:
        if self._server.process and self._server.process.poll() is None:
            self._server.process.send_signal(signum)


class BackingServices:
    """A PostgreSQL and a Valkey in a home of their own; `postgres`: whether there is the first."""

    def __init__(self, home: Path, *, postgres: bool = True) -> None:
        layout = layouts.at(home)
        layout.make_folders()
        self._layout = layout
        self.postgres = PostgresService(layout) if postgres else None
        self.valkey = ValkeyService(layout)

    @property
    def endpoints(self) -> Endpoints:
        """The URLs of both."""
        return self._layout.endpoints

    @property
    def sockets(self) -> Path:
        """The folder of the unix sockets, whose path is short enough for more of them."""
        return self._layout.sockets

    def launch(self) -> None:
        """Start both without waiting for them. Only from the main thread: they end with their parent."""
        if self.postgres is not None:
            self.postgres.launch()
        self.valkey.launch()

    def wait_ready(self) -> None:
        """Return once both answer."""
        if self.postgres is not None:
            self.postgres.wait_ready()
        self.valkey.wait_ready()

    def stop(self) -> None:
        """End both."""
        try:
            self.valkey.stop()
        finally:
            if self.postgres is not None:
                self.postgres.stop()
