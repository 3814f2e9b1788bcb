"""Parsers of the texts in URLs."""

from datetime import UTC, datetime

import pytest

from shipments.parsing import values
from shipments.parsing.values import InvalidValue


@pytest.mark.parametrize(
    "text",
    ["2026-11-27T10:00:00+02:00", "2026-11-27T10:00:00 02:00", "2026-11-27 10:00:00 02:00", "2026-11-27T08:00:00Z"],
)
def test_a_plus_that_arrives_as_a_space_is_a_plus(text: str) -> None:
    assert values.query_instant(text) == datetime(2026, 11, 27, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2026-11-27 10:00", "2026-11-27T10:00:00", "2026-11-27T10:00:00  02:00", "10:00 02:00"]
)
def test_a_time_without_an_offset_stays_invalid(text: str) -> None:
    with pytest.raises(InvalidValue):
        values.query_instant(text)


def test_an_id_among_names_loses_its_capitals() -> None:
    read = values.name_or_identifier(64)

    assert read("0197A4C2-0000-7000-8000-00000000000F") == "0197a4c2-0000-7000-8000-00000000000f"
    assert read("SHIP-1") == "SHIP-1"
