"""A renderer: the process that draws. `python -m exports.pdf.renderer PARENT`, spoken to by `wire`.

It knows nothing of the product: no settings, no database, no keys. What it needs to draw comes with the task.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Final

from exports.pdf import confine, wire

Drawn = tuple[bytes, Mapping[str, Any]]
Task = Callable[[dict[str, Any], Sequence[bytes]], Drawn]
# An old process has grown: it is ended after so many tasks or bytes, and another takes its place.
MOST_TASKS: Final = 500
MOST_RESIDENT_BYTES: Final = 640 * 1024**2


def _task(name: str) -> Task:
    """This will find a task; what it needs is loaded with its first use, since it takes a second."""
    if name == "page":
        from exports.pdf import pages  # loads WeasyPrint

        return pages.drawn
    if name == "picture":
        from exports.pdf import pictures  # loads Pillow

        return pictures.cleaned
    if name == "table":
        from exports.imports import reading  # loads calamine

        return reading.table
    from exports.pdf import typeset  # loads typst

    return {"typeset": typeset.report, "join": typeset.joined}[name]


def main(parent: int) -> None:
    """This will draw what it is told until nobody tells it any more."""
    told, answers = _streams()
    confine.confine(parent)
    done = 0
    while True:
        try:
            head, pieces = wire.receive(told)
        except EOFError:
            return
        confine.allow(head["cpuSeconds"])
        done += 1
        answer, made = _carried_out(head, pieces)
        answer["worn"] = done >= MOST_TASKS or confine.resident_bytes() > MOST_RESIDENT_BYTES
        wire.send(answers, answer, made)
        if answer["worn"]:
            return


def _carried_out(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    try:
        made, told = _task(head["task"])(head, pieces)
    except Exception as error:  # noqa: BLE001  whatever it was, the one who asked must learn of it
        # The words may be those of the document: only what is meant for the caller goes back.
        return {"error": type(error).__name__, "reason": getattr(error, "reason", "")}, []
    return dict(told), [made]


def _streams() -> tuple[IO[bytes], IO[bytes]]:
    """This will return where tasks come from and answers go; whatever else prints goes to the log."""
    told = os.fdopen(os.dup(0), "rb", buffering=1024 * 1024)
    answers = os.fdopen(os.dup(1), "wb", buffering=1024 * 1024)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return told, answers


if __name__ == "__main__":
    main(int(sys.argv[1]))
