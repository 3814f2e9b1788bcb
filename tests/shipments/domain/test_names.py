"""One form in which names are stored and compared."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipments.domain import names


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Gro\u0308ße", "Größe"),
        (" Größe  Überland ", "Größe Überland"),
        ("Größe\u00a0Überland", "Größe Überland"),
        ("Größe\u3000\tÜberland\r\n", "Größe Überland"),
        ("MÜLLER", "MÜLLER"),
        ("\u00a0", ""),
    ],
)
def test_the_stored_form_is_composed_and_has_single_spaces(text: str, stored: str) -> None:
    assert names.normalize(text) == stored


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Größe", "GRÖSSE"),
        ("Dana  Driver", "dana driver"),
        ("ΝΊΚΟΣ", "νίκος"),
        ("Ōsaka", "O\u0304SAKA"),
    ],
)
def test_names_alike_have_one_key(one: str, other: str) -> None:
    assert names.comparison_key(one) == names.comparison_key(other)


@given(st.text())
def test_both_forms_are_stable(text: str) -> None:
    stored = names.normalize(text)

    assert names.normalize(stored) == stored
    assert names.normalize(unicodedata.normalize("NFD", stored)) == stored
    assert names.comparison_key(stored) == names.comparison_key(text)
    assert names.comparison_key(names.comparison_key(text)) == names.comparison_key(text)
