"""The renderer process: `python -m exports.sandbox.renderer PARENT_PID NICENESS`, driven over its pipes.

The messages are those of `framing`. It draws PDFs, re-encodes pictures and parses spreadsheets. It has no settings,
no database and no keys: all input comes with the task.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Final

from exports.sandbox import framing, isolation

TaskOutput = tuple[bytes, Mapping[str, Any]]
TaskFunction = Callable[[dict[str, Any], Sequence[bytes]], TaskOutput]
# The libraries leak: the pool replaces a process after this many tasks, or above this resident size.
MAX_TASKS_PER_CHILD: Final = 500
MAX_RESIDENT_BYTES: Final = 640 * 1024**2


def _load_task(name: str) -> TaskFunction:
    """Return the function of a task. Imports are lazy: a renderer loads only the libraries it uses."""
    if name == "page":
        from exports.sandbox.tasks import weasyprint_pdf  # loads WeasyPrint, about a second

        return weasyprint_pdf.render
    if name == "picture":
        from exports.sandbox.tasks import pictures  # loads Pillow

        return pictures.clean
    if name == "table":
        from exports.sandbox.tasks import spreadsheets  # loads calamine

        return spreadsheets.read_table
    from exports.sandbox.tasks import typst_pdf  # loads typst

    return {"typeset": typst_pdf.render_part, "join": typst_pdf.join_parts}[name]


def main(parent_pid: int, niceness: int) -> None:
    """Serve tasks until the pipe closes or this process is worn out."""
    requests, responses = _claim_stdio()
    isolation.isolate(parent_pid)
    os.nice(niceness)
    task_count = 0
    while True:
        try:
            head, pieces = framing.receive(requests)
        except EOFError:
            return
        isolation.limit_cpu(head["cpuSeconds"])
        task_count += 1
        response, attachments = _run_task(head, pieces)
        response["worn"] = task_count >= MAX_TASKS_PER_CHILD or isolation.peak_resident_bytes() > MAX_RESIDENT_BYTES
        framing.send(responses, response, attachments)
        if response["worn"]:
            return


def _run_task(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    try:
        content, metadata = _load_task(head["task"])(head, pieces)
    except Exception as error:  # noqa: BLE001  any failure of a task is its response
        # The message may quote the document: only the type and a `reason` written for the caller go back.
        return {"error": type(error).__name__, "reason": getattr(error, "reason", "")}, []
    return dict(metadata), [content]


def _claim_stdio() -> tuple[IO[bytes], IO[bytes]]:
    """Return the pipes of requests and responses, and point stdout to stderr: a library may print."""
    requests = os.fdopen(os.dup(0), "rb", buffering=1024 * 1024)
    responses = os.fdopen(os.dup(1), "wb", buffering=1024 * 1024)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.dup2(2, 1)
    return requests, responses


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
