"""What a report warns about: in the dry run and the import, by API and command; and what is suspected."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories
from tests.exports.import_client import dry_run_report, get_import, row_errors, run_import, shipments_by_reference
from tests.shipments.api.client import Api

pytestmark = pytest.mark.usefixtures("committed", "export_dir")
FILE = (
    b"Reference;Origin;Destination;Weight kg;PO\r\nA-1;NLRTM;DEHAM;12,345;\nA-2;NLRTM;DEHAM;12,5;\r"
    b"A-3;NLRTM;DEHAM;12.345;940011189922381000\r\n"
)


def test_rows_with_warnings_are_counted_and_found(api: Api, organization: Organization) -> None:
    trial = dry_run_report(api, FILE)
    done = run_import(api, FILE)

    assert [trial["warned"], done["warned"]] == [2, 2]
    warnings = [[(each["column"], each["code"]) for each in row["warnings"]] for row in done["rows"]]
    assert warnings == [[("Weight kg", "ambiguous")], [], [("PO", "rounded")]]
    assert [row["outcome"] for row in done["rows"]] == ["created", "created", "failed"]
    assert [(row["errors"], row["warnings"]) for row in trial["rows"]] == [
        (row["errors"], row["warnings"]) for row in done["rows"]
    ]
    assert row_errors(done)[4] == [("Weight kg", "ambiguous")]
    assert [row["row"] for row in dry_run_report(api, FILE, warned="true")["rows"]] == [2, 4]
    assert [row["row"] for row in dry_run_report(api, FILE, warned="true", outcome="failed")["rows"]] == [4]
    page = api.get(f"/api/imports/{done['id']}", {"warned": "false"}).json()
    assert ([row["row"] for row in page["rows"]], page["counts"]) == ([3], get_import(api, done["id"])["counts"])
    assert {name: str(each.weight_kg) for name, each in shipments_by_reference(organization).items()} == {
        "A-1": "12.345", "A-2": "12.500",
    }  # fmt: skip


def test_the_command_prints_warnings(
    organization: Organization, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path := tmp_path / "a.csv").write_bytes(FILE)

    with pytest.raises(SystemExit):
        call_command("import_shipments", str(path), organization=organization.slug, stdout=StringIO())

    assert "row 2 (A-1): Weight kg: warning: 12,345 is read as 12.345, not as 12345" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["#N/A", "1.23E+11", "47\u200b11"])
def test_a_suspected_text_is_refused_unless_it_is_stored(api: Api, dispatcher: Subject, text: str) -> None:
    factories.booked_shipment(dispatcher, reference="A-1", references={"po": text}, notes="#REF!")
    factories.booked_shipment(dispatcher, reference="A-2", references={"po": "x"})
    raw = (
        f"Reference,Origin,Destination,PO,Notes\nA-1,,,{text},#REF!\nA-2,,,{text},\nA-3,NLRTM,DEHAM,{text},#REF!\n"
    )

    trial = dry_run_report(api, raw.encode())

    assert [row["outcome"] for row in trial["rows"]] == ["unchanged", "failed", "failed"]
    assert {row: [column for column, _ in errors] for row, errors in row_errors(trial).items()} == {
        2: [], 3: ["PO"], 4: ["PO", "Notes"],
    }  # fmt: skip


def test_marks_in_the_header_and_around_values_are_left_out(api: Api, organization: Organization) -> None:
    header = "\ufeff\ufeffReference,\ufeffOrigin,Desti\u200bnation,PO,Pieces"
    row = "\u200bA-1\u00a0,NLRTM\u200e,DEHAM,\u202a4711\u202c,\u00a07"

    run_import(api, f"{header}\r\n{row}\r".encode())

    stored = shipments_by_reference(organization)["A-1"]
    assert (stored.references, stored.pieces) == ({"po": "4711"}, 7)
