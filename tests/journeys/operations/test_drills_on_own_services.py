"""A drill leaves the installation that it is started in as it was, whether it ends, is interrupted or is called."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from psycopg import sql

from tests.drills import commands, exports, imports, leak, own_services, relay, spreadsheets
from tests.drills.harness import environment
from tests.drills.harness.environment import ROOT, database_url
from tests.drills.harness.waiting import wait_until

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
_SECONDS = 240.0


class Replaced(Exception):
    """Here the process would have been replaced."""


def _row_counts() -> dict[str, int]:
    """Return the number of rows of every table."""
    tables = connection.introspection.table_names()
    counts = [sql.SQL("(SELECT count(*) FROM {})").format(sql.Identifier(table)) for table in tables]
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(counts)))
        return dict(zip(tables, cursor.fetchone(), strict=True))


def _start_drill(*words: str, temporary: Path) -> subprocess.Popen[str]:
    # What is started in the background ignores SIGINT, and so does all that it starts.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "drill", *words], cwd=temporary,
            env=os.environ | {"DATABASE_URL": database_url(), "TMPDIR": str(temporary)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, handler)


def test_the_rows_of_the_installation_are_the_same_before_and_after(tmp_path: Path) -> None:
    before = _row_counts()

    with _start_drill("relay", "--quick", "--seed", "3", temporary=tmp_path) as drill:
        out, err = drill.communicate(timeout=_SECONDS)

    evidence = json.loads(out)
    assert (drill.returncode, evidence["holds"], evidence["written"] > 0) == (0, True, True), (out, err)
    assert _row_counts() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_that_is_stopped_says_so_and_leaves_nothing(
    tmp_path: Path, signum: signal.Signals, status: int
) -> None:
    with _start_drill("relay", temporary=tmp_path) as drill:
        wait_until(
            lambda: drill.poll() is not None or list(tmp_path.glob("freight-relay-*/logs/relay.log")),
            seconds=_SECONDS,
        )

        drill.send_signal(signum)
        out, err = drill.communicate(timeout=_SECONDS)

    assert (drill.returncode, out, "Traceback" in err) == (status, "", False), err
    assert ("Interrupted: the command did not finish." in err) is (signum == signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


def test_every_drill_that_writes_by_the_settings_has_services_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def replace_this_process(options: dict[str, Any]) -> None:
        started.append(options["name"])
        raise Replaced

    monkeypatch.setattr(own_services, "replace_this_process", replace_this_process)

    for name in ("relay", "exports", "imports", "leak", "spreadsheets"):
        with pytest.raises(Replaced):
            commands.run({"name": name}, out=print, err=print)

    assert started == ["relay", "exports", "imports", "leak", "spreadsheets"]


def test_called_on_a_database_of_somebody_else_a_drill_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_OWN_NAMES", ())
    monkeypatch.setattr(shutil, "which", lambda _: "soffice")
    before = _row_counts()

    for run in (
        lambda: relay.run(kills=1, seed=1),
        lambda: exports.run(kills=1, rows=1, menu=exports.STREAMED, seed=1),
        lambda: imports.run(kills=1, rows=1, seed=1),
        lambda: leak.run(scale=leak.QUICK),
        lambda: list(spreadsheets.run()),
    ):
        with pytest.raises(RuntimeError, match=re.escape("is not its own, and what it writes cannot be deleted")):
            run()

    assert _row_counts() == before
