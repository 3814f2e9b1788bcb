"""Write one XLSX file in a process of its own: no work under the server's GIL, and its memory is freed at exit.

    python -I xlsx_writer.py TARGET < lines

The first line is a JSON array: the title, the labels, the positions of the time columns, and the regular expression
of the places in a text where an apostrophe is added. Each further line is an object with one value per label. The
line `null` ends the input; where it is missing, the parent is gone and the exit status is 1. Where the system
refuses to write, it is the errno. Imports nothing of the product, so that it starts fast.
"""

import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import xlsxwriter
from xlsxwriter import xmlwriter
from xlsxwriter.exceptions import FileCreateError

# Excel's specification. A longer text is cut and ends in an ellipsis.
MAX_CELL_CHARACTERS: Final = 32_767
_NICE: Final = 10
# What looks like an escaped character is escaped; the library overlooks one that begins where another ends.
xmlwriter.re_control_chars_1 = re.compile("(_x[0-9a-fA-F]{4}(?=_))")
_MAX_WIDTH: Final = 40


def main(target: str) -> int:
    """Write the file and return the exit status: 0 where it is complete."""
    os.nice(_NICE)
    title, labels, datetime_columns, ambiguous = orjson.loads(sys.stdin.buffer.readline())
    book = xlsxwriter.Workbook(
        target,
        {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "tmpdir": str(Path(target).parent),
        },
    )
    sheet = book.add_worksheet(title)
    head = book.add_format({"bold": True, "bottom": 1})
    datetime_format = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    sheet.freeze_panes(1, 0)
    for column, label in enumerate(labels):
        sheet.set_column(column, column, min(_MAX_WIDTH, max(12, len(label) + 2)))
    sheet.write_row(0, 0, labels, head)
    is_complete, rows = _write_rows(sheet, set(datetime_columns), datetime_format, re.compile(ambiguous))
    if not is_complete:
        return 1
    sheet.autofilter(0, 0, rows, len(labels) - 1)
    book.close()
    return 0


def _write_rows(
    sheet: Any, datetime_columns: set[int], datetime_format: Any, ambiguous: re.Pattern[str]
) -> tuple[bool, int]:
    row = 0
    for line in sys.stdin.buffer:
        values = orjson.loads(line)
        if values is None:
            return True, row
        row += 1
        for column, value in enumerate(values.values()):
            if value is None:
                continue
            if column in datetime_columns:
                # Spreadsheets have no time zones: the cell is in UTC.
                sheet.write_datetime(
                    row, column, datetime.fromisoformat(value).replace(tzinfo=None), datetime_format
                )
            elif isinstance(value, int | float):
                sheet.write_number(row, column, value)
            else:
                sheet.write_string(row, column, _text(value, ambiguous))
    return False, row


def _text(value: Any, ambiguous: re.Pattern[str]) -> str:
    """Return the text of a cell, which is no formula in a workbook; an import removes the apostrophes of a CSV."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if "'" in text:
        text = ambiguous.sub("'", text)
    return text if len(text) <= MAX_CELL_CHARACTERS else text[: MAX_CELL_CHARACTERS - 1] + "…"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except FileCreateError as error:  # of the library, around an OSError
        sys.exit(getattr(error.args[0], "errno", 1))
    except OSError as error:
        sys.exit(error.errno)
