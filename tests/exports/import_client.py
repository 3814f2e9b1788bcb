"""Make files of shipments and import them, as a client of the API."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import xlsxwriter

from exports.file_imports import import_worker
from shipments.models import Organization, Shipment
from tests.shipments.api.client import Api

PATH = "/api/imports/shipments"
ROUTE = {"Origin": "NLRTM", "Destination": "DEHAM"}
TYPES = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def csv_of(rows: Sequence[Mapping[str, str]]) -> bytes:
    """Write rows whose keys are the columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    target = io.StringIO()
    writer = csv.DictWriter(target, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return target.getvalue().encode()


def xlsx_of(rows: Sequence[Sequence[Any]]) -> bytes:
    """Write a workbook with one sheet."""
    target = io.BytesIO()
    book = xlsxwriter.Workbook(target, {"in_memory": True})
    sheet, datetime_format = book.add_worksheet(), book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    for index, row in enumerate(rows):
        for column, value in enumerate(row):
            if isinstance(value, datetime):
                sheet.write_datetime(index, column, value, datetime_format)
            else:
                sheet.write(index, column, value)
    book.close()
    return target.getvalue()


def form(raw: bytes, filename: str) -> tuple[bytes, str]:
    """Return a multipart body with the file, and its content type."""
    head = f'--edge\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    return head.encode() + raw + b"\r\n--edge--\r\n", "multipart/form-data; boundary=edge"


def send(api: Api, raw: bytes, *, kind: str = "csv", filename: str | None = None, **query: Any) -> Any:
    """Upload a file, in a form where it has a name."""
    body, content_type = form(raw, filename) if filename else (raw, TYPES[kind])
    path = f"{PATH}?{urlencode(query)}" if query else PATH
    return api.post(path, body, content_type=content_type)


def dry_run_report(api: Api, raw: bytes, **options: Any) -> dict[str, Any]:
    """Return the report of a dry run."""
    response = send(api, raw, dryRun="true", **options)
    assert (response.status_code, response.content) == (200, response.content)
    report: dict[str, Any] = response.json()
    return report


def get_import(api: Api, import_id: str) -> dict[str, Any]:
    report: dict[str, Any] = api.get(f"/api/imports/{import_id}", {"limit": 1000}).json()
    return report


def row_errors(report: Mapping[str, Any]) -> dict[int, list[tuple[str, str]]]:
    """Return the errors of each row, as column and code."""
    return {entry["row"]: [(each["column"], each["code"]) for each in entry["errors"]] for entry in report["rows"]}


def run_import(api: Api, raw: bytes, **options: Any) -> dict[str, Any]:
    """Upload a file, run the workers and return the import with its rows."""
    response = send(api, raw, **options)
    assert (response.status_code, response.content) == (202, response.content)
    assert response["Location"] == f"/api/imports/{response.json()['id']}"
    import_worker.work_batch()
    return get_import(api, response.json()["id"])


def shipments_by_reference(organization: Organization) -> dict[str, Shipment]:
    return {each.reference: each for each in Shipment.objects.filter(organization=organization)}
