"""A private Valkey: cache, counters and hints, nothing that must survive a restart."""

import contextlib
import signal
import socket
import subprocess
from pathlib import Path

from freight.embedded import binaries
from freight.embedded.errors import EmbeddedError
from freight.embedded.layout import VALKEY_SOCKET, Layout
from freight.embedded.processes import replies, spawn, wait_until

_START_SECONDS = 10.0


class Valkey:
    """One Valkey server on one unix socket. The caller holds the home's lock."""

    name = "Valkey"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._program = binaries.valkey_server()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._layout.logs / "valkey.log"

    @property
    def socket(self) -> Path:
        """The unix socket."""
        return self._layout.sockets / VALKEY_SOCKET

    def launch(self) -> None:
        """Start the server without waiting for it."""
        self.socket.unlink(missing_ok=True)
        self.process = spawn(
            [
                self._program,
                *("--port", "0"),
                *("--unixsocket", self.socket),
                *("--unixsocketperm", "700"),
                *("--dir", self._layout.valkey),
                # PostgreSQL is the source of truth: starting empty costs cache misses.
                *("--save", ""),
                *("--appendonly", "no"),
                *("--databases", "64"),
                *("--maxmemory", "256mb"),
                # Evict the least recently used of the keys that expire: cached shipments before the counters of
                # limits, which every request touches. allkeys-* would also evict keys without expiry, and
                # noeviction would refuse to count once the cache is full.
                *("--maxmemory-policy", "volatile-lru"),
                *("--maxmemory-samples", "10"),
            ],
            log=self.log,
            cwd=self._layout.valkey,
            when_orphaned=signal.SIGTERM,
        )

    def wait_ready(self) -> None:
        """Wait until it answers PING; raises EmbeddedError after 10 s."""
        if not wait_until(self._ready, seconds=_START_SECONDS):
            raise EmbeddedError(f"Valkey is not ready after {_START_SECONDS:.0f} s: see {self.log}.")

    def answers(self) -> bool:
        """Return whether it answers within a second."""
        return replies(self.socket, b"PING\r\n")

    def request_stop(self) -> None:
        """Send SIGTERM."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)

    def force_stop(self) -> None:
        """Send SIGKILL."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)

    def _ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise EmbeddedError(f"Valkey ended while starting: see {self.log}.")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self.socket))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False
