"""Asks the program behind a port whether it still answers, for one that tells no heartbeat: nginx."""

import socket
import time
from typing import Final

# nginx refuses it by itself, whatever became of the processes behind it, and writes no line.
_REQUEST: Final = b"GET / HTTP/1.1\r\n\r\n"
_PAUSE_SECONDS: Final = 2.0


class PortProbe:
    """One small request after the other to a port of this machine. No call blocks, and no thread is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._client: socket.socket | None = None
        self._is_sent = False
        self._asked_at = 0.0

    def age(self) -> float | None:
        """Return for how many seconds a request has waited for its answer, 0 where none does.

        Each call takes the probe one step on: call it some times a second.
        """
        if self._client is None:
            if time.monotonic() - self._asked_at > _PAUSE_SECONDS:
                self._ask()
            return 0.0
        if self._is_over(self._client):
            self.close()
            return 0.0
        return time.monotonic() - self._asked_at

    def close(self) -> None:
        """Give up the request that waits."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self) -> None:
        self._client, self._is_sent, self._asked_at = socket.socket(), False, time.monotonic()
        self._client.setblocking(False)
        self._client.connect_ex(("127.0.0.1", self._port))

    def _is_over(self, client: socket.socket) -> bool:
        """Tell whether the request was answered, or refused: a program that has ended does not hang."""
        try:
            if not self._is_sent:
                client.send(_REQUEST)
                self._is_sent = True
            client.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
