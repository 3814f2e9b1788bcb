"""CSV (RFC 4180, UTF-8): a header line, then the rows exactly as COPY wrote them."""

from collections.abc import Iterator
from typing import Final

from exports.reports.format_registry import Dataset, Format

BOM: Final = "\ufeff".encode()


def write(dataset: Dataset) -> Iterator[bytes]:
    """Yield the file. The labels are constants without commas and quotes, and need no quoting."""
    yield (BOM if dataset.query.bom else b"") + (",".join(dataset.labels) + "\n").encode()
    yield from dataset.blocks()


CSV: Final = Format("csv", "text/csv; charset=utf-8", "csv", write, compressible=True)
