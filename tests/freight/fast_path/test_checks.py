"""The system check that keeps the fast path and settings.MIDDLEWARE in step."""

from collections.abc import Callable

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from freight.fast_path import checks


def messages() -> list[str]:
    return [each.msg for each in run_checks() if each.id == "freight.E001"]


def test_the_configured_middleware_is_what_the_fast_path_was_written_against() -> None:
    assert messages() == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda names: [*names, "django.middleware.gzip.GZipMiddleware"], "unknown: django.middleware.gzip.Gzip"),
        (lambda names: names[1:], "missing: monitoring.middleware.RequestContextMiddleware"),
        (lambda names: names[::-1], "the order differs"),
    ],
    ids=["another", "one less", "another order"],
)
def test_any_other_list_fails(settings: Settings, change: Callable[[list[str]], list[str]], found: str) -> None:
    settings.MIDDLEWARE = change(list(checks.MIDDLEWARE))

    (message,) = messages()

    assert found.lower() in message.lower()
