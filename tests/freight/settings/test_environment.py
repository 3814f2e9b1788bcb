"""Environment variables: each is documented, and a bad value is refused with its name, the value and a hint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from freight.settings import environment

ROOT = Path(__file__).resolve().parents[3]


def test_every_variable_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()

    missing = [name for name in environment.variables if f"`{name}`" not in page]

    assert missing == []


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("PORT", "eighty", "give a whole number from 1 to 65535"),
        ("PORT", "70000", "give a whole number from 1 to 65535"),
        ("DEMO", "maybe", "give 1 or 0"),
        ("GS1_COMPANY_PREFIX", "76 10425", "give the 4 to 12 digits that GS1 has licensed to you"),
        ("DATABASE_URL", "mysql://x/y", "give a URL that begins with postgres:// or postgresql://"),
        ("REDIS_URL", "memcached://x", "give a URL that begins with redis://"),
        ("WS_CORS_ORIGINS", "https://a.example/path", "give origins as scheme://host[:port]"),
        ("WS_CORS_ORIGINS", "*", "give origins as scheme://host[:port]"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "give networks such as 10.0.0.0/8"),
        ("RATE_LIMIT_GENERAL_WINDOW", "soon", "give a duration such as 30s, 15m, 2h or 1d"),
        ("RATE_LIMIT_GENERAL_MAX", "0", "give a whole number from 1"),
        ("LOG_LEVEL", "loud", "give one of DEBUG, INFO, WARNING, ERROR"),
        ("SECRET_KEY", "short", "give at least 50 characters"),
        ("SECRET_KEY_FALLBACKS", f"{'k' * 50},short", "give keys of at least 50 characters each"),
    ],
)
def test_a_bad_value_is_refused_with_name_and_hint(name: str, value: str, hint: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import freight.settings"],
        cwd=ROOT,
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode != 0
    assert f"{name}=" in result.stderr.splitlines()[-1]
    assert hint in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("raw", "items"),
    [("a, b,,c ", ["a", "b", "c"]), (",", []), ("  ", ["default"]), ("$HOME", ["$HOME"])],
)
def test_a_list_is_split_and_stripped_and_nothing_is_expanded(
    monkeypatch: pytest.MonkeyPatch, raw: str, items: list[str]
) -> None:
    monkeypatch.setattr(environment, "variables", {})
    monkeypatch.setenv("A_LIST", raw)

    assert environment.names("A_LIST", ["default"], purpose="") == items


@pytest.mark.parametrize(("raw", "seconds"), [("30s", 30), ("15M", 900), ("2h", 7200), ("1d", 86400), ("90", 90)])
def test_a_duration_is_in_seconds(monkeypatch: pytest.MonkeyPatch, raw: str, seconds: int) -> None:
    monkeypatch.setattr(environment, "variables", {})
    monkeypatch.setenv("A_DURATION", raw)

    assert environment.duration("A_DURATION", "1m", purpose="") == seconds


def test_a_secret_is_not_shown_when_it_is_refused() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import freight.settings"],
        cwd=ROOT,
        env=os.environ | {"SECRET_KEY": "hunter2", "DATABASE_URL": "mysql://root:hunter2@db/x"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode != 0
    assert "hunter2" not in result.stderr
