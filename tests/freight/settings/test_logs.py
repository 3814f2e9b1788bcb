"""The log masks secrets, in keys and in text."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from django.test import RequestFactory

from freight.settings import logs
from shipments.auth import tokens


@pytest.mark.parametrize("make", [tokens.new_api_key, tokens.new_device_key, tokens.new_tracking_token])
def test_an_api_key_is_masked_within_any_text(make: Callable[[], str]) -> None:
    key = make()

    line = logs.scrub(None, "", f'{{"event": "GET /api/osmand?id={key}&lat=1"}}')

    assert line == f'{{"event": "GET /api/osmand?id={key[:4]}***&lat=1"}}'


def test_a_token_is_masked_within_any_text() -> None:
    assert logs.scrub(None, "", "?access=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln!") == "?access=eyJ***!"


def test_other_text_is_not_changed() -> None:
    line = '{"event": "freight from frd_x to frk_", "logger": "freight.relay"}'

    assert logs.scrub(None, "", line) == line


def test_values_of_keys_that_name_a_secret_are_masked() -> None:
    assert logs.mask(None, "", {"refreshToken": "x", "count": 1}) == {"refreshToken": "***", "count": 1}


def test_a_line_of_django_about_a_request_has_its_route_and_no_path_or_query() -> None:
    request = RequestFactory().post("/track/sécret?token=geheim")
    lines = [
        logs.hide_path(None, "", {"event": text, "status_code": 403, "request": request})
        for text in (
            "Forbidden (CSRF cookie not set.): /track/s\\xe9cret",
            "Forbidden (Referer https://a.example/t/geheim?x=geheim does not match.): /track/s\\xe9cret",
            "Referer " + "x" * 5000,
            "odd",
        )
    ]

    assert lines == [
        {"event": "Forbidden (CSRF cookie not set.): unmatched", "status_code": 403},
        {
            "event": "Forbidden (Referer https://a.example/*** does not match.): unmatched",
            "status_code": 403,
        },
        {"event": ("Referer " + "x" * 5000)[:300], "status_code": 403},
        {"event": "odd", "status_code": 403},
    ]
    assert logs.hide_path(None, "", {"event": "a: /"}) == {"event": "a: /"}


@pytest.mark.parametrize(("status", "shown"), [(400, False), (500, True)])
def test_only_what_we_did_wrong_has_a_traceback(status: int, shown: bool) -> None:
    event = {"event": "x", "status_code": status, "request": RequestFactory().get("/"), "exc_info": ValueError()}

    assert ("exc_info" in logs.hide_path(None, "", event)) == shown


def test_loading_a_library_logs_nothing() -> None:
    program = 'from freight.settings import logs; logs.configure(level="INFO"); import fontTools.subset, pikepdf'

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert (result.stdout, result.stderr) == ("", "")
