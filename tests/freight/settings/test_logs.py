"""The log masks secrets, in keys and in text."""

from collections.abc import Callable

import pytest

from freight.settings import logs
from shipments.auth import tokens


@pytest.mark.parametrize("make", [tokens.new_api_key, tokens.new_device_key, tokens.new_tracking_token])
def test_an_api_key_is_masked_within_any_text(make: Callable[[], str]) -> None:
    key = make()

    line = logs.scrub(None, "", f'{{"event": "GET /api/osmand?id={key}&lat=1"}}')

    assert line == f'{{"event": "GET /api/osmand?id={key[:4]}***&lat=1"}}'


def test_other_text_is_not_changed() -> None:
    line = '{"event": "freight from frd_x to frk_", "logger": "freight.relay"}'

    assert logs.scrub(None, "", line) == line


def test_values_of_keys_that_name_a_secret_are_masked() -> None:
    assert logs.mask(None, "", {"refreshToken": "x", "count": 1}) == {"refreshToken": "***", "count": 1}
