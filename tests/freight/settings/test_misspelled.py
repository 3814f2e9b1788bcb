"""A mistyped variable is named at the start with the name that was probably meant; others are left alone."""

import os
import subprocess
import sys

import pytest

from freight.settings import environment, misspelled
from tests.drills.harness.environment import ROOT


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("RATE_LIMIT_GENRAL_MAX", "RATE_LIMIT_GENERAL_MAX"),
        ("RATE_LIMIT_GENERAL_MAXIMUM", "RATE_LIMIT_GENERAL_MAX"),
        ("FREIGHT_HOMES", "FREIGHT_HOME"),
        ("FREIGHT_XYZZY_PLUGH", ""),
        ("JWT_ACCESS_MINUTE", "JWT_ACCESS_MINUTES"),
        ("WS_CORS_ORIGIN", "WS_CORS_ORIGINS"),
        ("ALOWED_HOSTS", "ALLOWED_HOSTS"),
        ("DATABASE_POOLSIZE", "DATABASE_POOL_SIZE"),
        ("SLOW_QUERIES_MS", "SLOW_QUERY_MS"),
        ("trusted_proxies", "TRUSTED_PROXIES"),
    ],
)
def test_a_mistyped_name_is_found(name: str, nearest: str) -> None:
    assert list(misspelled.find([name, "PATH"], environment.variables)) == [misspelled.Misspelling(name, nearest)]


def test_what_is_ours_or_of_another_program_is_left_alone() -> None:
    others = ["HOSTNAME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "PATH", "PYTHONPATH", "NOTIFY_SOCKET", "JWT_SECRET",
              "EXPORT_ES6", "PORTAGE", "DJANGO_SETTINGS_MODULE", "OTEL_SERVICE_NAME", "REDIS_HOST"]  # fmt: skip

    assert list(misspelled.find([*others, *environment.variables], environment.variables)) == []


def test_it_is_said_at_the_start_and_the_value_is_not() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import freight.settings"], cwd=ROOT,
        env=os.environ | {"RATE_LIMIT_GENRAL_MAX": "geheim"}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "Nothing reads the variable RATE_LIMIT_GENRAL_MAX: is RATE_LIMIT_GENERAL_MAX meant?" in result.stderr
    assert "geheim" not in result.stderr
