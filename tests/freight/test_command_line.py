"""manage.py reports a configuration error in one sentence, and shows the traceback on request."""

import os
import subprocess
import sys
import uuid

import pytest
from django.db import connection

from tests.drills.harness.environment import ROOT, database_url

KEY = "k" * 60


def run_manage(*words: str, **environment: str) -> tuple[int, str]:
    result = subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, env=os.environ | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return result.returncode, result.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DATABASE_URL": "postgresql://freight@/freight?host=/nowhere"}, "does not serve this command"),
        ({"SECRET_KEY": "short", "DATABASE_URL": "postgresql://freight@/freight?host=/nowhere"}, "SECRET_KEY"),
    ],
    ids=["no database", "a short key"],
)
def test_a_configuration_error_is_one_sentence(environment: dict[str, str], words: str) -> None:
    code, stderr = run_manage("warmup_cache", **{"SECRET_KEY": KEY} | environment)

    assert (code, words in stderr, "Traceback" in stderr) == (1, True, False), stderr


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("postgresql://freight:hunter2@127.0.0.1:1/freight", "Connection refused"),
        (
            "postgresql://freight:hunter2@/no_such_database?host={sockets}",
            'database "no_such_database" does not exist',
        ),
        ("postgresql://nobody_here:hunter2@/postgres?host={sockets}", 'role "nobody_here" does not exist'),
    ],
    ids=["dead host", "missing database", "refused account"],
)
def test_the_last_line_names_the_cause_and_no_password(committed: None, url: str, cause: str) -> None:
    sockets = connection.settings_dict["HOST"]

    code, stderr = run_manage("warmup_cache", SECRET_KEY=KEY, DATABASE_URL=url.format(sockets=sockets))

    last = stderr.strip().splitlines()[-1]
    assert code == 1
    assert last.startswith("PostgreSQL at DATABASE_URL does not serve this command: connection ")
    assert cause in last
    assert "hunter2" not in stderr


def test_traceback_shows_the_traceback() -> None:
    assert (
        "Traceback"
        in run_manage("warmup_cache", "--traceback", SECRET_KEY="short", DATABASE_URL="postgresql://x")[1]
    )


def test_a_database_without_tables_is_reported(committed: None) -> None:
    name = f"empty_{uuid.uuid4().hex[:12]}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        url = database_url().replace(f"/{connection.settings_dict['NAME']}?", f"/{name}?")
        code, stderr = run_manage("warmup_cache", SECRET_KEY=KEY, DATABASE_URL=url)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")

    assert (code, stderr.strip()) == (1, "The database at DATABASE_URL lacks tables: run manage.py migrate.")
