"""The declared list of what runs behind the port."""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command, get_commands

from freight import embedded

_ANSWER_SECONDS = 2.0
# Less than the supervisor waits before it kills: nobody comes after, so nobody needs more.
_DRAIN_SECONDS = 6.5


@dataclass(frozen=True)
class Role:
    """One process: what it runs, and for a server the unix socket at which it answers."""

    name: str
    kind: str
    target: Callable[[], None]
    socket: Path | None = None

    @property
    def log(self) -> Path:
        """Its log file."""
        return settings.FREIGHT_HOME / "logs" / f"{self.name}.log"

    def ready(self) -> bool:
        """Ask the server whether it is ready; a worker is ready once it lives."""
        return self.socket is None or is_ready(str(self.socket))


def servers() -> list[Role]:
    """Return the Daphnes: REST and pages apart from sockets, each with a socket of its own."""
    counts = {"api": settings.API_PROCESSES, "ws": settings.WS_PROCESSES}
    return [_server(kind, number) for kind, count in counts.items() for number in range(1, count + 1)]


def workers() -> list[Role]:
    """Return the processes without a socket, as far as their commands exist."""
    roles = [_worker("relay")]
    if settings.SIMULATE and settings.DEMO:
        roles.append(_worker("simulate", "--rate", "10"))
    commands = get_commands()
    return [role for role in roles if role.name in commands]


def _server(kind: str, number: int) -> Role:
    name = f"{kind}-{number}"
    path = embedded.layout.at(settings.FREIGHT_HOME).sockets / f"{name}.sock"

    def serve() -> None:
        call_command("serve", role=kind, unix=str(path), drain_seconds=_DRAIN_SECONDS)

    return Role(name=name, kind=kind, target=serve, socket=path)


def _worker(command: str, *arguments: str) -> Role:
    def work() -> None:
        call_command(command, *arguments)

    return Role(name=command, kind="worker", target=work)


def is_ready(address: str | tuple[str, int]) -> bool:
    """Return whether a unix socket or host and port answers 200 to the readiness check."""
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
