"""GET /api/exports/*.pdf: the rows as printed pages, alike from both engines, and never from a stale cache."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import connection

from exports.pdf import cache, libraries, report_layout
from exports.pdf.cache import pdf_cache
from exports.pdf.report_layout import PrintedColumn, PrintedReport
from exports.reports.formats import pdf
from exports.sandbox.pool import RendererPool, Task, shared
from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization
from shipments.services.feed import sequencer
from tests import factories
from tests.drills.harness import shipment_copies
from tests.exports import pdf_reader
from tests.exports.export_client import File, fetch_file, token
from tests.factories import NOW
from tests.narrowing import present

pytestmark = pytest.mark.usefixtures("committed")
PATH = "/api/exports/shipments.pdf"
LABELS = "Reference Origin Destination Status Customer Driver Name Created At (UTC) ETA (UTC)"


def fetch_pdf(subject: Subject, **query: Any) -> File:
    file = fetch_file(subject, query, path=PATH)
    assert (file.status, file.headers["Content-Type"]) == (200, "application/pdf")
    return file


def printed_report(rows: list[list[str]], **changes: Any) -> PrintedReport:
    fields: dict[str, Any] = {
        "title": "Shipments", "organisation": "Acme Freight", "made_at": NOW, "facts": [("Filters", "None")],
        "columns": [PrintedColumn("Reference"), PrintedColumn("Customer"), PrintedColumn("Status")],
        "rows": rows, "states": ["in_transit"] * len(rows),
    }  # fmt: skip
    return PrintedReport(**(fields | changes))


@pytest.fixture(scope="module")
def pool() -> RendererPool:
    return shared()


def test_a_page_has_rows_filters_summary_and_page_number(organization: Organization, dispatcher: Subject) -> None:
    driver, customer = factories.driver(organization), factories.customer(organization)
    shipment = factories.booked_shipment(
        dispatcher, driver_id=driver.pk, customer_id=customer.pk, planned_delivery_at=NOW + timedelta(days=3)
    )

    file = fetch_pdf(dispatcher, status="booked", createdAfter="2026-01-01T00:00:00Z")

    page_text = pdf_reader.text(file.body)
    assert LABELS in page_text
    assert (
        f"{shipment.reference} Rotterdam (NLRTM) Hamburg (DEHAM) booked Northwind Traders Dana Driver"
        " 2026-03-02 12:00 2026-03-05 12:00"
    ) in page_text.replace("- ", "-")
    for words in (
        "Shipments", "Acme Freight", "Status: booked", "Created after: 2026-01-01T00:00:00Z", "booked 1",
        "Page 1 of 1", "The whole organisation",
    ):  # fmt: skip
        assert words in page_text
    assert file.headers["X-Freight-Rows"] == "1"
    assert file.headers["Content-Disposition"].endswith('.pdf"')


def test_an_empty_report_says_so(dispatcher: Subject) -> None:
    assert "Nothing matches these filters." in pdf_reader.text(fetch_pdf(dispatcher).body)


def test_a_customer_sees_its_own_without_phones(organization: Organization, dispatcher: Subject) -> None:
    customer, driver = factories.customer(organization), factories.driver(organization)
    mine = factories.booked_shipment(dispatcher, customer_id=customer.pk, driver_id=driver.pk)
    others = factories.booked_shipment(dispatcher)

    query = {"fields": "reference,driverName,driverPhone"}
    file = fetch_pdf(factories.member(organization, "customer", customer=customer), **query)

    page_text = pdf_reader.text(file.body).replace("- ", "-")
    assert (mine.reference in page_text, others.reference in page_text, driver.phone in page_text) == (
        True,
        False,
        False,
    )


def test_fields_come_in_the_requested_order_up_to_the_maximum(dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, pieces=3)

    few_fields = fetch_pdf(dispatcher, fields="status,pieces,reference")
    many_fields = fetch_file(
        dispatcher,
        {"fields": "id,reference,origin,destination,status,driverId,driverName,createdAt,updatedAt,eta,po,bol,pro"},
        path=PATH,
    )

    assert "Status Pieces Reference" in pdf_reader.text(few_fields.body)
    assert (many_fields.status, orjson.loads(many_fields.body)["errors"][0]["field"]) == (400, "fields")


@pytest.mark.parametrize("name", ["events", "deliveries", "audit"])
def test_every_report_prints(organization: Organization, dispatcher: Subject, name: str) -> None:
    factories.booked_shipment(dispatcher)

    auditor = factories.member(organization, "auditor")
    headers = {"Authorization": f"Bearer {token(auditor, scopes=('exports:read', 'audit:read'))}"}
    file = fetch_file(None, path=f"/api/exports/{name}.pdf", headers=headers)

    assert (file.status, file.body[:5]) == (200, b"%PDF-")


def test_the_older_path_gives_a_file_too(dispatcher: Subject) -> None:
    assert fetch_file(dispatcher, path="/api/shipments/export/pdf").body[:5] == b"%PDF-"


def test_it_is_audited_with_rows_and_bytes(organization: Organization, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)

    file = fetch_pdf(dispatcher)

    started, done = AuditEntry.objects.filter(organization=organization, action="export").order_by("at", "id")
    assert (started.outcome, done.outcome) == ("started", "done")
    assert [present(done.after)[name] for name in ("rows", "bytes", "format")] == [1, len(file.body), "pdf"]


# -- the cache --------------------------------------------------------------------------------------------


def test_the_same_state_is_drawn_once_for_subjects_with_the_same_view(
    organization: Organization, dispatcher: Subject
) -> None:
    factories.booked_shipment(dispatcher)
    other = factories.member(organization, "dispatcher")
    hits = pdf_cache.stats.hits

    files = [fetch_pdf(subject).body for subject in (dispatcher, dispatcher, other)]

    assert (len(set(files)), pdf_cache.stats.hits) == (1, hits + 2)


def test_a_committed_change_is_in_the_next_file(dispatcher: Subject) -> None:
    shipment = factories.booked_shipment(dispatcher)
    before = fetch_pdf(dispatcher)

    services.advance(by=dispatcher, now=NOW, reference=shipment.reference, to="cancelled")
    after = fetch_pdf(dispatcher)

    assert ("booked 1" in pdf_reader.text(before.body), "cancelled 1" in pdf_reader.text(after.body)) == (
        True,
        True,
    )


def test_subjects_with_another_view_get_another_file(organization: Organization, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)

    full = fetch_pdf(dispatcher)
    empty = fetch_pdf(factories.member(organization, "customer"))

    assert (full.headers["X-Freight-Rows"], empty.headers["X-Freight-Rows"]) == ("1", "0")


def test_concurrent_requests_are_drawn_once(dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)
    stored = pdf_cache.stats.stored

    def fetch(_: int) -> bytes:
        try:
            return fetch_pdf(dispatcher).body
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        files = set(threads.map(fetch, range(4)))

    assert (len(files), pdf_cache.stats.stored) == (1, stored + 1)


# -- many pages -------------------------------------------------------------------------------------------


def test_every_page_has_the_header_and_its_number(pool: RendererPool) -> None:
    rows = [[f"SHIP-{n:06d}", f"Customer {n}", "in transit"] for n in range(60)]

    content = report_layout.render(printed_report(rows), pool=pool).content

    pages = pdf_reader.pages(content)
    page_text = " ".join(" ".join(pages).split())
    assert [row for row in rows if " ".join(row) not in page_text] == []
    assert [("Reference Customer Status" in page, f"Page {n} of {len(pages)}" in page) for n, page in
            enumerate(pages, 1)] == [(True, True)] * len(pages)  # fmt: skip
    assert {embedded for _, embedded in pdf_reader.fonts(content)} == {True}
    with pdf_reader.open_pdf(content) as file:
        assert ("/StructTreeRoot" in file.Root, str(file.Root.Lang)) == (True, "en")


def test_two_thousand_rows_are_complete_and_in_order(dispatcher: Subject) -> None:
    shipment_copies.insert_copies(factories.booked_shipment(dispatcher, reference="COPY-1").pk, 2_000)
    while sequencer.number_batch():
        pass  # as the relay does: with many unnumbered events nothing is cached
    started = time.monotonic()

    file = fetch_pdf(dispatcher, ordering="reference", fields="reference,status,createdAt")

    first_seconds = time.monotonic() - started
    pages = pdf_reader.pages(file.body)
    page_text = " ".join(" ".join(pages).split())
    assert page_text.count("booked 2026-03-02 12:00") == 2_000
    assert all(f"COPY-{n} booked" in page_text for n in range(1, 2_001))
    assert [f"Page {n} of {len(pages)}" in page for n, page in enumerate(pages, 1)] == [True] * len(pages)
    assert all("Reference Status Created At" in page for page in pages)
    started, hits = time.monotonic(), pdf_cache.stats.hits
    assert fetch_pdf(dispatcher, ordering="reference", fields="reference,status,createdAt").body == file.body
    assert pdf_cache.stats.hits == hits + 1
    # About 50 ms against 2 s on a quiet machine; the measurement includes an API key and an event loop.
    assert time.monotonic() - started < first_seconds


def test_a_report_in_parts_has_no_seam(pool: RendererPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_layout, "MAX_PART_ROWS", 300)
    rows = [[f"SHIP-{n:06d}", "A name that is long enough for lines " * (n % 7 == 0), "x"] for n in range(1000)]

    content = report_layout.render(printed_report(rows), pool=pool).content

    pages = pdf_reader.pages(content)
    references = [word for page in pages for word in page.split() if word.startswith("SHIP-")]
    assert references == [row[0] for row in rows]
    assert [f"Page {n} of {len(pages)}" in page for n, page in enumerate(pages, 1)] == [True] * len(pages)
    # All pages but the first, which has the summary, and the last are about equally full.
    lines = [page.count("SHIP-") for page in pages[1:-1]]
    assert min(lines) > max(lines) * 0.7


def test_more_rows_than_a_pdf_holds_are_refused(dispatcher: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "PDF", replace(pdf.PDF, max_rows=1))
    for _ in range(2):
        factories.booked_shipment(dispatcher)

    file = fetch_file(dispatcher, path=PATH)

    [error] = orjson.loads(file.body)["errors"]
    assert (file.status, error["field"], error["code"]) == (400, "limit", "too_many_rows")


SCRIPTS = ["שלום עולם", "陽光電子", "ひらがな", "한국어", "Ελλάδα", "Україна", "Łódź Ñandú", "กขค", "अमर"]
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"


@pytest.mark.parametrize("filler", [0, 250], ids=["weasyprint", "typst"])
def test_every_script_is_printed(pool: RendererPool, filler: int) -> None:
    rows = [[f"R{n}", name, "x"] for n, name in enumerate([*SCRIPTS, LONG, "شركة النقل", "🚚"])]

    content = report_layout.render(printed_report(rows + [["-", "-", "-"]] * filler, states=[]), pool=pool).content

    page = pdf_reader.pages(content)[0]
    page_text = "".join(page.split())
    assert [name for name in [*SCRIPTS[1:], LONG] if "".join(name.split()) not in page_text] == []
    # PDF readers differ in the direction and the glyph forms of these scripts.
    assert any(word in page_text for word in ("שלום", "םולש"))
    assert any(0x0600 <= ord(letter) < 0x0700 or 0xFB50 <= ord(letter) < 0xFF00 for letter in page_text)
    assert {embedded for _, embedded in pdf_reader.fonts(content)} == {True}
    # Not every reader extracts an emoji as text. It is the only bright colour on this page.
    assert sum(max(pixel) - min(pixel) > 120 for pixel in pdf_reader.pixels(content)) > 20


def test_without_the_libraries_it_is_a_503_with_the_remedy(
    dispatcher: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "present", lambda: False)

    file = fetch_file(dispatcher, path=PATH)

    body = orjson.loads(file.body)
    assert (file.status, file.headers["Content-Type"]) == (503, "application/problem+json")
    assert "apt-get install libpango-1.0-0" in body["detail"]


def test_a_failed_drawing_is_a_503_and_audited(
    organization: Organization, dispatcher: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.booked_shipment(dispatcher)
    monkeypatch.setattr(report_layout, "MAX_WEASYPRINT_ROWS", -1)
    monkeypatch.setattr(report_layout, "_typst_part", lambda *_, **__: Task("join", {}, [b"no pages"]))

    file = fetch_file(dispatcher, path=PATH)

    assert (file.status, orjson.loads(file.body)["detail"]) == (503, "The document could not be drawn.")
    entries = AuditEntry.objects.filter(organization=organization, action="export").order_by("at", "id")
    assert [entry.outcome for entry in entries] == ["started", "failed"]


def test_the_code_fingerprint_covers_existing_files() -> None:
    """A moved folder must not silently drop out of the stamp: PDFs of an older release would be served."""
    matches = {pattern: list(cache._PROJECT_ROOT.glob(pattern)) for pattern in cache._SOURCES}

    assert [pattern for pattern, paths in matches.items() if not paths] == []
    names = {path.name for paths in matches.values() for path in paths}
    assert {"report_layout.py", "pdf.py", "pool.py", "typst_pdf.py", "report.typ", "document.css"} <= names
