"""Workbooks of one sheet whose cells are XML, as strange programs write them."""

import io
import re
import zipfile
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import xlsxwriter

HEADER: Final = ("Reference", "Origin", "Destination", "PO", "Weight kg", "Pieces", "Notes", "ETA")


def workbook(cells: Sequence[str], *, formats: Sequence[str] = (), recalculates: bool = False) -> bytes:
    """Return a workbook with the header and one row of these cells; `@` is replaced by the address.

    The style of a cell with the first of `formats` is 1, with the second 2.
    """
    calculation = 'fullCalcOnLoad="1"' if recalculates else ""
    return edit_sheet(_empty(), header_and_rows([cells]), formats=formats, calculation=calculation)


def header_and_rows(rows: Sequence[Sequence[str]]) -> str:
    """Return the header and the rows below it."""
    return "".join(_row(number, cells) for number, cells in enumerate([[*map(text, HEADER)], *rows], 1))


def _row(number: int, cells: Sequence[str]) -> str:
    addressed = "".join(each.replace("@", f"{chr(65 + at)}{number}") for at, each in enumerate(cells))
    return f'<row r="{number}">{addressed}</row>'


def text(value: str) -> str:
    """Return the cell of a text."""
    return f'<c r="@" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def number(value: str, style: int = 0) -> str:
    """Return the cell of a number, as its digits stand in the file."""
    return f'<c r="@" s="{style}"><v>{value}</v></c>'


def edit_sheet(raw: bytes, rows: str, *, formats: Sequence[str] = (), calculation: str = "") -> bytes:
    """Return the workbook with other rows, number formats and settings of its calculation."""
    codes = "".join(
        f"<numFmt numFmtId={quoteattr(str(170 + at))} formatCode={quoteattr(code)}/>"
        for at, code in enumerate(formats)
    )
    styles = "".join(f'<xf numFmtId="{170 + at}" applyNumberFormat="1"/>' for at in range(len(formats)))
    changes = {
        "xl/worksheets/sheet1.xml": (r"<sheetData ?/>|<sheetData>.*</sheetData>", f"<sheetData>{rows}</sheetData>"),
        "xl/styles.xml": (
            r"(<styleSheet[^>]*>)(.*)<cellXfs.*</cellXfs>",
            rf'\g<1><numFmts count="1">{codes}</numFmts>\g<2><cellXfs><xf numFmtId="0"/>{styles}</cellXfs>',
        ),
        "xl/workbook.xml": (r"<calcPr[^>]*>", f'<calcPr calcId="1" {calculation}/>'),
    }
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name).decode()
            if name in changes:
                pattern, replacement = changes[name]
                escaped = replacement if name == "xl/styles.xml" else replacement.replace("\\", r"\\")
                content = re.sub(pattern, escaped, content, flags=re.DOTALL)
            new.writestr(name, content)
    return target.getvalue()


def _empty() -> bytes:
    target = io.BytesIO()
    book = xlsxwriter.Workbook(target, {"in_memory": True})
    book.add_worksheet()
    book.close()
    return target.getvalue()
