"""Hostile and broken files: each gives a clear error of the file or of a row, in bounded memory."""

import io
import resource
import time
import zipfile
from typing import Any

import pytest

from exports.file_imports import table
from exports.file_imports.cells import PackedCells
from exports.sandbox import pool
from exports.sandbox.tasks import spreadsheets, unreadable
from shipments.auth.subjects import Subject
from shipments.parsing.query_parameters import InvalidFields
from tests.exports.import_client import csv_of, dry_run_report, send, xlsx_of
from tests.shipments.api.client import Api, field_errors

SHEET = "xl/worksheets/sheet1.xml"


def rows(raw: bytes) -> list[tuple[int, PackedCells]]:
    """Parse a file as a renderer does, with a limit of 1,000 rows."""
    content, metadata = spreadsheets.read_table({"mostRows": 1000}, [raw])
    unpacked = list(table.iter_packed_rows(content))
    assert len(unpacked) == metadata["rows"]
    return unpacked


def header(raw: bytes) -> list[str]:
    return list(spreadsheets.read_table({"mostRows": 1000}, [raw])[1]["header"])


def replace_member(raw: bytes, name: str, content: bytes) -> bytes:
    """Replace the content of one file in a workbook."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.namelist():
            new.writestr(each, content if each == name else old.read(each))
    return target.getvalue()


WORKBOOK = xlsx_of([["Reference", "Notes"], ["A-1", "x"]])
FAR_CELL_SHEET = (
    b'<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    b'<row r="1"><c r="A1" t="inlineStr"><is><t>Reference</t></is></c></row>'
    b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
)
SHEET_HEAD = FAR_CELL_SHEET[: FAR_CELL_SHEET.index(b'<row r="1048576">')]
SHEET_END = b"</sheetData></worksheet>"
LARGEST = 20 * 1024**2


def workbook_of(rows: bytes) -> bytes:
    """Return a workbook whose sheet has these rows below its header."""
    return replace_member(WORKBOOK, SHEET, SHEET_HEAD + rows + SHEET_END)


def workbook_with_cell(reference: str, row: str) -> bytes:
    return workbook_of(f'<row r="{row}"><c r="{reference}"><v>1</v></c></row>'.encode())


def compressed_with(method: int) -> bytes:
    """Return the workbook compressed by another method of ZIP."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WORKBOOK)) as old, zipfile.ZipFile(target, "w", method) as new:
        for each in old.namelist():
            new.writestr(each, old.read(each))
    return target.getvalue()


# Small or simple files that would take long: each is refused before that.
REFUSED_AT_ONCE: dict[str, tuple[bytes, str]] = {
    "a row that no sheet has": (workbook_with_cell("A99999999999", "99999999999"), "too_much"),
    "a cell in such a row": (workbook_with_cell("A99999999999", "2"), "too_much"),
    "a row just beyond the last": (workbook_with_cell("A1048577", "1048577"), "too_much"),
    "zeros before its number": (workbook_with_cell("A00000001048577", "00001048577"), "too_much"),
    "a row in other quotes": (workbook_of(b"<row r='3000000'><c r='A3000000'><v>1</v></c></row>"), "too_much"),
    "a column just beyond XFD": (workbook_with_cell("XFE2", "2"), "too_much"),
    "a column that no sheet has": (workbook_with_cell("ZZZZZZ2", "2"), "too_much"),
    "newlines": (b"Reference\n" + b"\n" * LARGEST, "too_much"),
    "carriage returns": (b"Reference\n" + b"\r" * LARGEST, "too_much"),
    "lines of one comma": (b"Reference\n" + b",\n" * (LARGEST // 2), "too_much"),
    "commas": (b"Reference\n" + b"," * LARGEST, "too_much"),
    "a header of commas": (b"," * LARGEST, "too_much"),
    "quotes": (b"Reference\n" + b'"' * LARGEST, "too_much"),
    "spaces": (b"Reference\n" + b" " * LARGEST, "too_much"),
    "nested XML": (workbook_of(b"<a>" * 500_000 + b"</a>" * 500_000), "empty"),
    "empty rows": (workbook_of(b"<row/>" * 1_000_000), "empty"),
    "bzip2": (compressed_with(zipfile.ZIP_BZIP2), "broken"),
    "LZMA": (compressed_with(zipfile.ZIP_LZMA), "broken"),
}
CODES = {
    "empty": unreadable.Empty,
    "not_text": unreadable.NotText,
    "too_much": unreadable.TooMuch,
    "broken": unreadable.Broken,
}
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "blank": (b"\xef\xbb\xbf\r\n\r\n", "empty"),
    "header only": (b"Reference,Origin\r\n", "empty"),
    "header and blank rows": (b"Reference,Origin\r\n,\r\n,\r\n", "empty"),
    "not UTF-8": ("Reference\nM\u00fcnchen\n".encode("latin-1"), "not_text"),
    "NUL": (b"Reference\nA\0B\n", "not_text"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(50), "not_text"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "not_text"),
    "a ZIP of something else": (replace_member(WORKBOOK, "[Content_Types].xml", b"")[:-40], "broken"),
    "a cut workbook": (WORKBOOK[: len(WORKBOOK) // 2], "broken"),
    "a workbook without XML": (replace_member(WORKBOOK, SHEET, b"<<<"), "broken"),
    "a million columns": (b"Reference" + b",x" * 1_000_000 + b"\nA-1\n", "too_much"),
    "a million semicolons": (b"Reference" + b";" * 1_000_000 + b"x\nA-1\n", "too_much"),
    "too many rows": (b"Reference\n" + b"A-1\n" * 1001, "too_much"),
    "a cell without end": (b'Reference\n"' + b"x" * 200_000, "too_much"),
    "a long cell": (b"Reference\n" + b"x" * 40_000 + b"\n", "too_much"),
    "an open quote": (b'Reference,Notes\nA-1,"never closed\nA-2,x\n', "broken"),
    "a quote that does not end a cell": (b'Reference,Notes\nA-1,"x"y\n', "broken"),
    "a bomb": (replace_member(WORKBOOK, SHEET, b" " * (300 * 1024**2)), "too_much"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unreadable_file_is_refused_with_the_reason(name: str) -> None:
    raw, code = REFUSED[name]

    with pytest.raises(unreadable.Unreadable) as refused:
        rows(raw)

    assert type(refused.value) is CODES[code], refused.value.reason
    assert 10 < len(refused.value.reason) < 200


@pytest.mark.parametrize("name", REFUSED_AT_ONCE)
def test_a_file_that_would_take_long_is_refused_at_once(name: str) -> None:
    raw, code = REFUSED_AT_ONCE[name]
    began = time.process_time()

    with pytest.raises(unreadable.Unreadable) as refused:
        rows(raw)

    assert time.process_time() - began < 1.0
    assert type(refused.value) is CODES[code], refused.value.reason
    assert 10 < len(refused.value.reason) < 200


def test_cells_at_the_last_row_and_column_are_read() -> None:
    assert rows(workbook_with_cell("A1048576", "1048576")) == [(1_048_576, ["1"])]
    assert rows(workbook_with_cell("XFD2", "2")) == [(2, [None, "1"])]


def test_a_file_that_takes_too_much_processor_time_is_refused(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_CPU_SECONDS", 1)
    cells = workbook_of((b"<row>" + b"<c/>" * 16_000 + b"</row>") * 2_000)
    began = time.monotonic()

    with pytest.raises(InvalidFields) as refused:
        table.read(cells)

    assert refused.value.errors == [
        {"field": "file", "code": "unreadable", "message": "The file takes too long to read; split it."}
    ]
    assert time.monotonic() - began < table._TIMEOUT_SECONDS
    assert table.read(WORKBOOK).count == 1


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a,b\n1,2\n", [(2, ["1", "2"])]),
        (b"\xef\xbb\xbfa;b\r\n1,5;2\r\n", [(2, ["1,5", "2"])]),
        (b"a\tb\r1\t2\r", [(2, ["1", "2"])]),
        (b"sep=;\r\na;b\r\n1;2\r\n", [(3, ["1", "2"])]),
        ("a,b\n1,ü\n".encode("utf-16"), [(2, ["1", "ü"])]),
        (b'a,b\n\n"1\n1", 2 \n,\n3\n', [(3, ["1\n1", "2"]), (5, ["3"])]),
        (b"a,b,,\n1,2,,3\n", [(2, ["1", "2", "3"])]),
        (b"\n\na,b\n1,2", [(4, ["1", "2"])]),
    ],
)
def test_csv_dialects(raw: bytes, expected: list[Any]) -> None:
    assert [(number, cells) for number, cells in rows(raw)] == expected


def test_a_cell_outside_the_columns_is_kept_for_its_error() -> None:
    assert rows(b"a,b\n1,2,,,9\n") == [(2, ["1", "2", "9"])]
    assert header(b"a,b,,\n1,2\n") == ["a", "b"]


def test_a_workbook_far_wider_than_its_cells_is_refused_and_takes_no_memory(committed: None) -> None:
    """One cell in the last corner: as a dense table that is 400 GB."""
    with pytest.raises(InvalidFields) as refused:
        table.read(replace_member(WORKBOOK, SHEET, FAR_CELL_SHEET))

    assert refused.value.errors[0]["field"] == "file"
    # The largest child so far, in KiB. A child starts as a copy of this process, and that counts too.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < max(own + 1, 1024**2)
    # A new renderer parses the next file.
    assert table.read(WORKBOOK).count == 1
    assert pool.shared("imports").processes()


@pytest.mark.parametrize(
    ("raw", "refused"),
    [
        (b"", [("file", "required")]),
        (b"Reference\n", [("file", "empty")]),
        (
            b"Reference,Weight,Reference\nA-1,1,A-1\n",
            [("Weight", "unknown_column"), ("Reference", "duplicate_column")],
        ),
        (
            b"Origin,Driver ID,driverId\nNLRTM,,\n",
            [("driverId", "duplicate_column"), ("Reference", "missing_column")],
        ),
    ],
)
@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_an_unusable_file_is_a_400(api: Api, raw: bytes, refused: list[tuple[str, str]], dry_run: str) -> None:
    response = send(api, raw, dryRun=dry_run)

    assert (response.status_code, field_errors(response)) == (400, refused)


def test_a_file_above_the_limit_is_a_413(api: Api, settings: Any) -> None:
    settings.IMPORT_MAX_BYTES = 100_000
    large = csv_of([{"Reference": "A-1", "Notes": "x" * 99}] * 2000)

    assert [send(api, large).status_code, send(api, large, filename="large.csv").status_code] == [413, 413]


@pytest.mark.parametrize("filename", [None, "large.csv"])
def test_a_file_may_exceed_the_limit_of_json_bodies(api: Api, filename: str | None) -> None:
    rows = [
        {"Reference": f"A-{at}", "Origin": "NLRTM", "Destination": "DEHAM", "Notes": "x" * 3900}
        for at in range(300)
    ]

    trial = dry_run_report(api, csv_of(rows), filename=filename, limit=1)

    assert (trial["counts"]["created"], trial["size"] > 1024**2, trial["next"]) == (300, True, 2)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("text/plain", b"Reference\nA-1\n", 415),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nA\r\n--x--',
            400,
        ),
        ("multipart/form-data; boundary=x", b"nothing", 400),
        ("multipart/form-data", b"nothing", 400),
    ],
)
def test_other_bodies_are_refused(api: Api, content_type: str, body: bytes, status: int) -> None:
    response = api.post("/api/imports/shipments", body, content_type=content_type)

    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")


def test_compressed_bodies_are_refused(api: Api) -> None:
    response = api.post("/api/imports/shipments", b"x", content_type="text/csv", Content_Encoding="gzip")

    assert response.status_code == 415


def test_a_cell_outside_the_columns_is_an_error_of_its_row(api: Api, dispatcher: Subject) -> None:
    trial = dry_run_report(api, b"Reference,Origin,Destination\nA-1,NLRTM,DEHAM,oops\nA-2,NLRTM,DEHAM,,\n")

    assert [(entry["outcome"], [each["code"] for each in entry["errors"]]) for entry in trial["rows"]] == [
        ("failed", ["outside"]), ("created", []),
    ]  # fmt: skip
