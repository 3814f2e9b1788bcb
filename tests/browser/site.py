"""The product as a browser meets it: nginx with the shipped file in front of one Daphne, on the test database."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import httpx
from django.conf import settings
from django.core.management import call_command

from freight.supervisor import proxy
from tests.drills.harness import daphnes

START_SECONDS = 90
COAST = '{"land":[[[-9,43],[3,51],[14,54],[12,45],[-9,37]]],"borders":[],"attribution":"Test"}'


class Site:
    """One public port; the Daphne behind it can be killed and started again."""

    def __init__(self) -> None:
        # Short, because the path of a unix socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="fb-"))
        self.port = daphnes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._out: IO[bytes] = (self.folder / "log").open("ab")

    def start(self) -> None:
        """Collect the static files and start everything."""
        coast = settings.FREIGHT_HOME / "build" / "map" / "world.json"
        coast.parent.mkdir(parents=True, exist_ok=True)
        coast.write_text(COAST)
        call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=["admin", "drf_*"])
        self.start_daphne()
        sockets = [self.folder / "daphne"]
        (self.folder / "nginx.conf").write_text(
            proxy.render(
                (daphnes.ROOT / "deploy" / "nginx" / "freight.conf").read_text(),
                listen=f"127.0.0.1:{self.port}",
                run=self.folder,
                api=sockets,
                ws=sockets,
                static=settings.STATIC_ROOT,
            )
        )
        command = [str(proxy.nginx_program()), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        self._launch("nginx", [*command, "-g", "daemon off;"])
        self.wait_ready()

    def start_daphne(self) -> None:
        """Start the Daphne that is not running."""
        command = [sys.executable, "manage.py", "serve", "--role", "all", "--unix", str(self.folder / "daphne")]
        self._launch("daphne", command)

    def kill_daphne(self) -> None:
        """Cut every socket as a crash does."""
        self._processes["daphne"].kill()
        self._processes["daphne"].wait(5)

    def wait_ready(self) -> None:
        """Return when the login page answers; raises RuntimeError with the end of the log."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/login", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise RuntimeError("The site did not get ready:\n" + (self.folder / "log").read_text()[-3000:])

    def stop(self) -> None:
        """End everything and take the folder away."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self._out.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _launch(self, name: str, command: list[str]) -> None:
        environment = os.environ | {
            "DATABASE_URL": daphnes.database_url(),
            "DATABASE_POOL_SIZE": "6",
            "PORT": str(self.port),
            "DEMO": "1",  # the login page lists the demo's accounts
            "HTTPS": "0",
            "WS_CORS_ORIGINS": self.url,
        }
        self._processes[name] = subprocess.Popen(
            command, cwd=daphnes.ROOT, env=environment, stdout=self._out, stderr=self._out
        )
