"""Counts what the proxy had to answer itself (502, 504) because no process did: no process counts those.

nginx sends a line of syslog for each such answer to a datagram socket, on which one process of the host listens.
"""

import contextlib
import re
import socket
import threading
from pathlib import Path
from typing import Final

import structlog

from monitoring import metrics
from monitoring.prometheus.hosts import HostAggregator

_log = structlog.get_logger("monitoring.gateway")
ROUTE: Final = "nginx"
# `log_format gateway` in deploy/nginx/freight.conf.
_LINE: Final = re.compile(rb"freight: ([A-Z]{1,16}) ([1-5]\d\d)$")
_POLL_SECONDS: Final = 1.0
_MAX_LINE: Final = 1024


def count_line(line: bytes) -> None:
    """Count one line of nginx; what is none is left out."""
    if match := _LINE.search(line.rstrip()):
        method, status = match[1].decode(), match[2].decode()
        metrics.requests.labels(metrics.method_label(method), ROUTE, status).inc()


def listen(path: Path, hosts: HostAggregator, stopped: threading.Event) -> None:
    """Listen while this process leads its host; returns once `stopped` is set."""
    metrics.requests.labels("GET", ROUTE, "504")  # from 0: an increase is seen only from there
    while not stopped.wait(_POLL_SECONDS):
        # Of a leader that is frozen the socket still takes what arrives, for nobody.
        if hosts.is_leader and (hosts.stands_in or not _has_listener(path)):
            try:
                _listen_once(path, hosts, stopped)
            except OSError as error:
                _log.warning("what nginx refuses is not counted", socket=str(path), error=repr(error))
                stopped.wait(10 * _POLL_SECONDS)


def _listen_once(path: Path, hosts: HostAggregator, stopped: threading.Event) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        inode = path.stat().st_ino
        server.settimeout(_POLL_SECONDS)
        while hosts.is_leader and not stopped.is_set():
            try:
                count_line(server.recv(_MAX_LINE))
            except TimeoutError:
                # Removed, or another's: nothing arrives here any more.
                if not path.exists() or path.stat().st_ino != inode:
                    return
        path.unlink(missing_ok=True)


def _has_listener(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(str(path))
        return True
    return False
