"""A renderer: the process that draws. `python -m exports.sandbox.renderer PARENT`, spoken to by `wire`.

It knows nothing of the product: no settings, no database, no keys. What it needs to draw comes with the task.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Final

from exports.sandbox import framing, isolation

TaskOutput = tuple[bytes, Mapping[str, Any]]
TaskFunction = Callable[[dict[str, Any], Sequence[bytes]], TaskOutput]
# An old process has grown: it is ended after so many tasks or bytes, and another takes its place.
MAX_TASKS_PER_CHILD: Final = 500
MAX_RESIDENT_BYTES: Final = 640 * 1024**2


def _load_task(name: str) -> TaskFunction:
    """Find a task; what it needs is loaded with its first use, since it takes a second."""
    if name == "page":
        from exports.sandbox.tasks import weasyprint_pdf  # loads WeasyPrint

        return weasyprint_pdf.render
    if name == "picture":
        from exports.sandbox.tasks import pictures  # loads Pillow

        return pictures.clean
    if name == "table":
        from exports.sandbox.tasks import spreadsheets  # loads calamine

        return spreadsheets.read_table
    from exports.sandbox.tasks import typst_pdf  # loads typst

    return {"typeset": typst_pdf.render_part, "join": typst_pdf.join_parts}[name]


def main(parent_pid: int) -> None:
    """Draw what it is told until nobody tells it any more."""
    requests, responses = _claim_stdio()
    isolation.isolate(parent_pid)
    done = 0
    while True:
        try:
            head, pieces = framing.receive(requests)
        except EOFError:
            return
        isolation.limit_cpu(head["cpuSeconds"])
        done += 1
        response, attachments = _run_task(head, pieces)
        response["worn"] = done >= MAX_TASKS_PER_CHILD or isolation.peak_resident_bytes() > MAX_RESIDENT_BYTES
        framing.send(responses, response, attachments)
        if response["worn"]:
            return


def _run_task(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    try:
        content, metadata = _load_task(head["task"])(head, pieces)
    except Exception as error:
        # The words may be those of the document: only what is meant for the caller goes back.
        return {"error": type(error).__name__, "reason": getattr(error, "reason", "")}, []
    return dict(metadata), [content]


def _claim_stdio() -> tuple[IO[bytes], IO[bytes]]:
    """Return where tasks come from and answers go; whatever else prints goes to the log."""
    requests = os.fdopen(os.dup(0), "rb", buffering=1024 * 1024)
    responses = os.fdopen(os.dup(1), "wb", buffering=1024 * 1024)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.dup2(2, 1)
    return requests, responses


if __name__ == "__main__":
    main(int(sys.argv[1]))
