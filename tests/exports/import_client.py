"""Files of shipments as people make them, and how they are sent."""

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
    for at, row in enumerate(rows):
        for column, value in enumerate(row):
            if isinstance(value, datetime):
                sheet.write_datetime(at, column, value, datetime_format)
            else:
                sheet.write(at, column, value)
    book.close()
    return target.getvalue()


def form(raw: bytes, filename: str) -> tuple[bytes, str]:
    """Lay a file into a form, and return it with its type."""
    head = f'--edge\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    return head.encode() + raw + b"\r\n--edge--\r\n", "multipart/form-data; boundary=edge"


def send(api: Api, raw: bytes, *, kind: str = "csv", filename: str | None = None, **query: Any) -> Any:
    """Send a file, in a form where it has a name."""
    body, content_type = form(raw, filename) if filename else (raw, TYPES[kind])
    path = f"{PATH}?{urlencode(query)}" if query else PATH
    return api.post(path, body, content_type=content_type)


def dry_run_report(api: Api, raw: bytes, **how: Any) -> dict[str, Any]:
    """Return what a dry run says."""
    answer = send(api, raw, dryRun="true", **how)
    assert (answer.status_code, answer.content) == (200, answer.content)
    report: dict[str, Any] = answer.json()
    return report


def get_import(api: Api, import_id: str) -> dict[str, Any]:
    report: dict[str, Any] = api.get(f"/api/imports/{import_id}", {"limit": 1000}).json()
    return report


def row_errors(report: Mapping[str, Any]) -> dict[int, list[tuple[str, str]]]:
    """Return the problems of each row, as column and code."""
    return {entry["row"]: [(each["column"], each["code"]) for each in entry["errors"]] for entry in report["rows"]}


def run_import(api: Api, raw: bytes, **how: Any) -> dict[str, Any]:
    """Send a file, let the workers do it and return what became of it."""
    response = send(api, raw, **how)
    assert (response.status_code, response.content) == (202, response.content)
    assert response["Location"] == f"/api/imports/{response.json()['id']}"
    import_worker.work_batch()
    return get_import(api, response.json()["id"])


def shipments_by_reference(house: Organization) -> dict[str, Shipment]:
    return {each.reference: each for each in Shipment.objects.filter(organization=house)}
