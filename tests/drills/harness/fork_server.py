"""A process that has loaded the product once and forks its roles on demand: a start costs 0.3 s instead of 3.

Run as `python -m tests.drills.harness.fork_server`. It reads one JSON object a line from standard input and replies
to each by one on standard output. When its input ends, because its owner stops it or dies, it thaws what is frozen
and kills its children.
"""

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.drills.harness.environment import ROOT


class ForkServer:
    """The owner's side of the protocol."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.drills.harness.fork_server"],
                cwd=ROOT,
                env=os.environ | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                start_new_session=True,  # Ctrl-C is for the owner, who stops it
            )
        self._log = log
        # Readiness is polled from other threads, too.
        self._turn = threading.Lock()

    def request(self, **message: Any) -> dict[str, Any]:
        """Send one message and return the reply; raises RuntimeError where there is none, or an error."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("The fork server has no pipes.")
        with self._turn:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        reply: dict[str, Any] = json.loads(line) if line else {"error": "it is gone"}
        if "error" in reply:
            raise RuntimeError(f"The fork server: {reply['error']}\n{self._log.read_text()[-3000:]}")
        return reply

    def stop(self) -> None:
        """End the server, and with it every child."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Load the product and serve requests until the input ends."""
    # What the product prints while it loads is no reply.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import freight.asgi  # noqa: F401  sets Django up and loads the product
    from freight.supervisor import child_processes

    gc.collect()
    gc.freeze()
    children_by_pid: dict[int, child_processes.ChildProcess] = {}
    frozen_pids: list[int] = []
    handlers: dict[str, Callable[..., dict[str, Any] | None]] = {
        "start": lambda **how: _start_child(children_by_pid, **how),
        "signal": lambda pid, number: children_by_pid[pid].signal(signal.Signals(number)),
        "status": lambda pid: {"status": children_by_pid[pid].poll()},
        "froze": lambda pids: frozen_pids.extend(pids),
        "thawed": frozen_pids.clear,
    }
    try:
        for line in sys.stdin:
            message = json.loads(line)
            try:
                reply = handlers[message.pop("do")](**message) or {}
            except (OSError, KeyError, TypeError, ValueError) as error:
                reply = {"error": repr(error)}
            replies.write(json.dumps(reply) + "\n")
            replies.flush()
    finally:
        for pid in frozen_pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGCONT)
        for child in children_by_pid.values():
            child.signal(signal.SIGCONT)
        child_processes.stop_all(list(children_by_pid.values()), signal.SIGKILL, seconds=5)


def _start_child(children_by_pid: dict[int, Any], *, log: str, **arguments: Any) -> dict[str, Any]:
    from freight.supervisor import child_processes

    child = child_processes.fork(lambda: _run_command(**arguments), log=Path(log))
    children_by_pid[child.pid] = child
    return {"pid": child.pid}


def _run_command(
    *, command: str, options: dict[str, Any], failpoint: str | None = None, database: list[Any] | None = None
) -> None:
    """Run one command of the product in a fresh child; `database`: another host and port."""
    from django.conf import settings
    from django.core.management import call_command

    from tests.drills.harness import failpoints, seed

    if database:
        settings.DATABASES["default"] |= {"HOST": database[0], "PORT": str(database[1])}
    if failpoint:
        failpoints.install(failpoint)
    if command == "seed":
        seed.seed(Path(options["into"]))
    else:
        call_command(command, **options)


if __name__ == "__main__":
    main()
