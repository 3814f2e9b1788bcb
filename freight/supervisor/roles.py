"""The processes behind the public port, as a declared list."""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command, get_commands

from freight import embedded

_ANSWER_SECONDS = 2.0
# Less than supervise._DRAIN_SECONDS, after which the supervisor kills.
_DRAIN_SECONDS = 6.5


@dataclass(frozen=True)
class Role:
    """One process: the function that it runs, and for a server its unix socket."""

    name: str
    kind: str
    target: Callable[[], None]
    socket: Path | None = None

    @property
    def log(self) -> Path:
        """Its log file."""
        return settings.FREIGHT_HOME / "logs" / f"{self.name}.log"

    def ready(self) -> bool:
        """Return whether the server is ready; a worker always is."""
        return self.socket is None or is_ready(str(self.socket))


def servers() -> list[Role]:
    """Return the server processes: `api` for REST and pages, `ws` for WebSockets and streams."""
    counts = {"api": settings.API_PROCESSES, "ws": settings.WS_PROCESSES}
    return [_server(kind, number) for kind, count in counts.items() for number in range(1, count + 1)]


def workers() -> list[Role]:
    """Return the worker processes: the relay, and the simulator under DEMO."""
    roles = [_worker("relay-1", "relay", name="relay-1")]
    if settings.SIMULATE and settings.DEMO and "simulate" in get_commands():
        roles.append(_worker("simulate-1", "simulate", rate=10.0))
    return roles


def expected_processes() -> dict[str, int]:
    """Return how many processes of each role should run."""
    return {"api": settings.API_PROCESSES, "ws": settings.WS_PROCESSES, "relay": 1}


def _server(kind: str, number: int) -> Role:
    name = f"{kind}-{number}"
    path = embedded.layout.at(settings.FREIGHT_HOME).sockets / f"{name}.sock"

    def serve() -> None:
        call_command("serve", role=kind, name=name, unix=str(path), drain_seconds=_DRAIN_SECONDS)

    return Role(name=name, kind=kind, target=serve, socket=path)


def _worker(name: str, command: str, /, **options: object) -> Role:
    def work() -> None:
        call_command(command, **options)

    return Role(name=name, kind=command, target=work)


def is_ready(address: str | tuple[str, int]) -> bool:
    """Return whether the server at a unix socket or at host and port answers its readiness check with 200."""
    request = (
        b"GET /api/health/ready HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n"
        b"Connection: close\r\n\r\n"
    )
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family) as client:
        client.settimeout(_ANSWER_SECONDS)
        client.connect(address)
        client.sendall(request)
        return client.recv(64).startswith(b"HTTP/1.1 200")
    return False
