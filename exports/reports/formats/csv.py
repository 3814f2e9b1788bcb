"""CSV (RFC 4180, UTF-8): the header line, then the rows exactly as the database wrote them."""

from collections.abc import Iterator
from typing import Final

from exports.reports.format_registry import Dataset, Format

BOM: Final = "\ufeff".encode()


def write(dataset: Dataset) -> Iterator[bytes]:
    """Yield the file; labels are ours and need no quotes."""
    yield (BOM if dataset.query.bom else b"") + (",".join(dataset.labels) + "\n").encode()
    yield from dataset.blocks()


CSV: Final = Format("csv", "text/csv; charset=utf-8", "csv", write, compressible=True)
