"""`manage.py import_shipments`: the same import, from a shell."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization, User
from tests import factories
from tests.exports.import_client import ROUTE, csv_of, shipments_by_reference
from tests.narrowing import present

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "week 9.csv"
    path.write_bytes(csv_of([{"Reference": "A-1", **ROUTE}, {"Reference": "A-2", **ROUTE}]))
    return path


def run_command(file: Path, organization: Organization, **options: Any) -> dict[str, Any]:
    """Run the command and return the JSON that it prints."""
    out = StringIO()
    call_command("import_shipments", str(file), organization=organization.slug, stdout=out, **options)
    summary: dict[str, Any] = json.loads(out.getvalue())
    return summary


def test_it_imports_and_prints_one_line_of_counts(file: Path, organization: Organization) -> None:
    trial = run_command(file, organization, dry_run=True)
    first, second = run_command(file, organization), run_command(file, organization)

    del first["seconds"]
    assert first == {
        "command": "import_shipments", "file": "week 9.csv", "dryRun": False, "rows": 2, "created": 2, "updated": 0,
        "unchanged": 0, "failed": 0, "warned": 0,
    }  # fmt: skip
    assert (trial["dryRun"], trial["created"], second["created"], second["unchanged"]) == (True, 2, 0, 2)
    assert sorted(shipments_by_reference(organization)) == ["A-1", "A-2"]
    entries = AuditEntry.objects.filter(organization=organization, entity="import").order_by("at", "id")
    assert [(each.actor_role, each.outcome) for each in entries] == [
        ("system", "started"), ("system", "done"), ("system", "started"), ("system", "done"),
    ]  # fmt: skip


def test_it_acts_as_the_given_user(file: Path, organization: Organization, dispatcher: Subject) -> None:
    run_command(file, organization, email=User.objects.get(pk=present(dispatcher.user_id)).email.upper())

    entry = AuditEntry.objects.get(organization=organization, entity="shipment", entity_id="A-1")
    assert (entry.actor_id, entry.actor_role) == (dispatcher.user_id, "dispatcher")


def test_failed_rows_are_printed_and_the_exit_status_is_1(
    file: Path, organization: Organization, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(csv_of([{"Reference": "A-1", **ROUTE, "Pieces": "x"}, {"Reference": "A-2", **ROUTE}]))

    with pytest.raises(SystemExit) as exit_:
        run_command(file, organization)

    assert (exit_.value.code, sorted(shipments_by_reference(organization))) == (1, ["A-2"])
    assert "row 2 (A-1): Pieces: Give a whole number" in capsys.readouterr().err


def test_every_command_error_is_one_line(file: Path, organization: Organization) -> None:
    outsider = User.objects.get(pk=present(factories.member(factories.organization(), "dispatcher").user_id))
    auditor = User.objects.get(pk=present(factories.member(organization, "auditor").user_id))
    (broken := file.with_name("broken.csv")).write_bytes(b"Weight\n1\n")
    messages = []
    for path, options in (
        (file.with_name("missing.csv"), {}),
        (broken, {}),
        (file, {"organization": "nowhere"}),
        (file, {"email": outsider.email}),
        (file, {"email": "nobody@example.test"}),
        (file, {"email": auditor.email}),
    ):
        with pytest.raises(CommandError) as error:
            call_command("import_shipments", str(path), **({"organization": organization.slug} | options))
        messages.append(str(error.value))

    assert [text for text in messages if "\n" in text] == []
    assert ["No such file" in messages[0], "Weight: There is no such column" in messages[1]] == [True, True]
    assert [
        "organisation nowhere" in messages[2],
        "member" in messages[3],
        "member" in messages[4],
        "may not" in messages[5],
    ] == [True] * 4
    assert shipments_by_reference(organization) == {}
