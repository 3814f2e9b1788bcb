"""nginx with the file that ships, before servers on unix sockets."""

import contextlib
import ipaddress
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import httpx

from freight.embedded import layout
from freight.embedded.processes import spawn
from tests.drills.harness import procfs
from tests.drills.harness.environment import starting_process
from tests.drills.harness.waiting import wait_until

_STOP_SECONDS: Final = 10.0


class Nginx:
    """One nginx on a port of this machine. Only from the main thread: it ends with its parent."""

    def __init__(
        self, run: Path, *, port: int, api: Sequence[Path], ws: Sequence[Path], static: Path,
        gateway: Path | None = None, balancer: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._balancer = balancer
        self.port, self._run, self._gateway = port, run, gateway or run / "gateway.sock"
        self._api, self._ws, self._static = api, ws, static
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """The file of nginx's own messages."""
        return self._run / "nginx.log"

    def start(self) -> None:
        """Render the file and start nginx without waiting for it."""
        from freight.supervisor import nginx_configuration, proxy  # they read the settings

        layout.private_folder(self._run)
        configuration = self._run / "nginx.conf"
        configuration.write_text(
            nginx_configuration.render(
                listen=f"127.0.0.1:{self.port}",
                run=self._run,
                static=self._static,
                api=self._api,
                ws=self._ws,
                gateway=self._gateway,
                balancer=[ipaddress.ip_network(each) for each in self._balancer],
            )
        )
        with starting_process():
            self._process = spawn(
                [proxy.nginx_program(), "-p", self._run, "-c", configuration, "-g", "daemon off;"],
                log=self.log,
                cwd=self._run,
                when_orphaned=signal.SIGTERM,
            )

    def wait_listening(
        self, path: str = "/api/health/ready", *, status: int | None = 200, seconds: float = 120.0
    ) -> None:
        """Wait until a path answers with a status, any status where that is None; raises TimeoutError."""

        def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return status in {None, httpx.get(f"{self.url}{path}", timeout=2).status_code}
            return False

        wait_until(answers, seconds=seconds, detail=lambda: self.log.read_text(errors="replace")[-3000:])

    def freeze(self) -> list[int]:
        """Stop nginx, which then takes connections and answers none; return its processes."""
        return self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let nginx go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End nginx."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _signal(self, signum: signal.Signals) -> list[int]:
        if self._process is None or self._process.poll() is not None:
            return []
        pids = [self._process.pid, *procfs.children(self._process.pid)]
        procfs.send_signal(signum, pids)
        return pids

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
