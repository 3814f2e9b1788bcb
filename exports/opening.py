"""From what was asked to an opened sheet: the checks that need the count, and what refuses."""

from collections.abc import Callable
from contextlib import ExitStack

from django.utils import timezone

from exports import asking, slots
from exports.asking import Asked
from exports.formats import Format, Sheet
from exports.record import Record
from exports.streaming import Stream


def check(asked: Asked, kind: Format) -> None:
    """This will raise Invalid where the format cannot do what was asked."""
    if asked.bom and kind.name != "csv":
        raise asking.refuse("bom", "invalid", "Only a CSV has a byte order mark.")
    kind.fit(asked)


def sheet(asked: Asked, kind: Format) -> Sheet:
    """This will open the rows that were asked for; raises Invalid where the format cannot hold as many."""
    asked = kind.fit(asked)
    reading = asked.report.open(asked.by, asked.rows(), asked.fields, kind.form)
    if kind.most_rows is not None and reading.count > kind.most_rows:
        reading.close()
        raise asking.refuse(
            "limit",
            "too_many_rows",
            f"{kind.name.upper()} holds at most {kind.most_rows:,} rows and these are {reading.count:,}: narrow"
            " the report, give a limit, or take CSV.",
        )
    return Sheet(asked, reading, timezone.now())


def stream(asked: Asked, kind: Format, record: Record, *, gzip: bool) -> Stream:
    """This will begin an export for one reader; raises Busy, Invalid, OperationalError."""
    with ExitStack() as undo:
        release: Callable[[], None] = slots.readings.take()
        undo.callback(release)
        opened = sheet(asked, kind)
        undo.callback(opened.reading.close)
        record.rows = opened.reading.count
        begun = Stream(opened, kind, record, gzip=gzip, release=release)
        undo.pop_all()  # the stream frees what it holds
        undo.callback(begun.drop)
        record.start()  # while the first block is read; nobody has it yet
        undo.pop_all()
        return begun
