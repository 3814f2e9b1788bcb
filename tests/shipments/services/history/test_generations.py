"""A new generation is another epoch, once for all that noticed, and is in the audit."""

import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from shipments.auth import subjects
from shipments.models import AuditEntry, Generation
from shipments.selectors import epoch
from shipments.services.history import generations
from shipments.services.history.generations import EpochChange
from tests.factories import NOW

BY = subjects.installation_subject(name="test")


@pytest.mark.django_db
def test_a_new_generation_is_audited_with_both_epochs() -> None:
    before = epoch.read()

    change = generations.begin_generation(by=BY, now=NOW, reason="a dump of Tuesday")

    entry = AuditEntry.objects.get(action="new_epoch")
    assert change == EpochChange(before, epoch.read())
    assert (entry.organization_id, entry.actor_name, entry.before) == (None, "test", {"epoch": before})
    assert entry.after == {"epoch": epoch.read(), "reason": "a dump of Tuesday", "wentBack": False}
    assert Generation.objects.get().went_back_at is None


@pytest.mark.django_db
def test_no_two_generations_are_equal_and_a_lost_row_comes_back() -> None:
    generations.begin_generation(by=BY, now=NOW, reason="first")
    first = epoch.read()
    Generation.objects.all().delete()

    generations.begin_generation(by=BY, now=NOW, reason="second", went_back=True)

    assert epoch.read() != first
    assert Generation.objects.get().went_back_at == NOW


@pytest.mark.usefixtures("committed")
def test_two_that_notice_at_once_make_one_generation() -> None:
    noticed = epoch.read()
    changes: list[EpochChange | None] = []

    def begin() -> None:
        changes.append(
            generations.begin_generation(
                by=BY, now=NOW, reason="noticed", is_still_needed=lambda current: current == noticed
            )
        )
        connection.close()

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [change for change in changes if change is not None] == [EpochChange(noticed, epoch.read())]
    assert len(changes) == 4


@pytest.mark.usefixtures("committed")
def test_the_command_prints_and_audits_both_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    before = epoch.read()

    call_command("new_epoch", reason="  restored the dump of Tuesday ")

    entry = AuditEntry.objects.filter(action="new_epoch").latest("pk")
    assert capsys.readouterr().out == f"The epoch was {before} and is {epoch.read()}.\n"
    assert (entry.actor_name, entry.before) == ("manage.py new_epoch", {"epoch": before})
    assert entry.after is not None
    assert entry.after["reason"] == "restored the dump of Tuesday"


def test_the_command_refuses_an_endless_reason() -> None:
    with pytest.raises(CommandError, match="at most 200"):
        call_command("new_epoch", reason="x" * 201)
