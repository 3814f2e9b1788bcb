"""Check digits of containers, SSCC and IMO numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipments.domain import check_digits


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("container", "CSQU3054383"),
        ("container", "csqu 305438-3"),
        ("containers", "TEXU3070079"),
        ("equipment", "MSKU6011672"),
        ("sscc", "106141412345678908"),
        ("sscc", "00106141412345678908"),
        ("imo", "9074729"),
        ("vessel_imo", "IMO 9074729"),
        ("po", "4711"),
    ],
)
def test_a_right_identifier_has_no_fault(name: str, text: str) -> None:
    assert check_digits.find_fault(name, text) is None


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("container", "CSQU3054384", "check digit would be 3"),
        ("container", "CSQ3054383", "has not the form"),
        ("sscc", "106141412345678901", "check digit would be 8"),
        ("sscc", "1061414", "has not the form"),
        ("imo", "9074728", "check digit would be 9"),
    ],
)
def test_a_wrong_identifier_is_told(name: str, text: str, words: str) -> None:
    assert words in str(check_digits.find_fault(name, text))


@given(st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_of_an_sscc_is_noticed(place: int, more: int) -> None:
    right = "106141412345678908"
    wrong = right[:place] + str((int(right[place]) + more) % 10) + right[place + 1 :]

    assert check_digits.find_fault("sscc", wrong) is not None
