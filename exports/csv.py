"""CSV (RFC 4180, UTF-8): the header line, then the rows exactly as the database wrote them."""

from collections.abc import Iterator
from typing import Final

from exports.formats import Format, Sheet

BOM: Final = "\ufeff".encode()


def write(sheet: Sheet) -> Iterator[bytes]:
    """This will yield the file; labels are ours and need no quotes."""
    yield (BOM if sheet.asked.bom else b"") + (",".join(sheet.labels) + "\n").encode()
    yield from sheet.blocks()


CSV: Final = Format("csv", "text/csv; charset=utf-8", "csv", write, shrinks=True)
