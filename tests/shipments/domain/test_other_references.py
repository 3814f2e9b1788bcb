"""References of other parties: how a change is parsed and merged."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipments.domain import other_references
from shipments.domain.other_references import InvalidReferences

TEXTS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
VALUES = TEXTS | st.lists(TEXTS, min_size=1, max_size=3, unique=True)
NAMES = st.sampled_from(["po", "bol", "pro", "container"])


@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, VALUES | st.none()))
def test_a_change_is_merged_as_rfc_7396_says(stored: dict[str, Any], change: dict[str, Any]) -> None:
    expected = dict(stored)
    for name, value in change.items():  # the RFC's own pseudocode, for values that are no objects
        if value is None:
            expected.pop(name, None)
        else:
            expected[name] = value

    merged = other_references.merge(stored, change)

    assert merged == expected
    assert other_references.merge(merged, change) == merged


@given(VALUES)
def test_a_value_survives_the_cell_of_a_file(value: Any) -> None:
    stored = other_references.parse({"po": value})["po"]
    assert stored is not None

    back = other_references.from_lines(other_references.to_lines(stored))

    assert other_references.texts_of(back) == other_references.texts_of(stored)


def test_texts_are_parsed_into_their_stored_form() -> None:
    change = other_references.parse({"po": [" 47\u00a011 ", "47 11", "4712"], "bol": "MAEU\u00a01", "pro": None})

    assert change == {"po": ["47 11", "4712"], "bol": "MAEU 1", "pro": None}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (["po"], "invalid"),
        ({"p o": "1"}, "name"),
        ({"1po": "1"}, "name"),
        ({"x" * 33: "1"}, "name"),
        ({"po": " "}, "value"),
        ({"po": 4711}, "value"),
        ({"po": "x" * 65}, "value"),
        ({"po": []}, "value"),
        ({"po": ["1"] * 21}, "value"),
        ({"po": ["1", None]}, "value"),
        ({"po": {"is": "1"}}, "value"),
        ({f"n{number}": "1" for number in range(41)}, "too_many"),
    ],
)
def test_what_is_no_reference_is_refused(data: object, code: str) -> None:
    with pytest.raises(InvalidReferences) as refused:
        other_references.parse(data)

    assert refused.value.code == code


def test_a_shipment_has_twenty_names_at_most() -> None:
    stored: dict[str, Any] = {f"n{number}": "1" for number in range(20)}

    with pytest.raises(InvalidReferences):
        other_references.merge(stored, {"more": "1"})

    assert len(other_references.merge(stored, {"n0": None, "more": "1"})) == 20
