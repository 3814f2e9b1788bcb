"""No text of a person is a formula in a spreadsheet, whatever it separates by; an import restores every text."""

import csv
import io
import re
from collections.abc import Sequence
from itertools import product
from typing import Final

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipments.selectors.reports import cells, formulas

pytestmark = pytest.mark.django_db
SIGNS: Final = "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\u2212"
LEADS: Final = (
    "", "a", "a;", ";", "a,", ",", "a\t", "\t", "a\n", "\n", "a\r", "\r", "a\r\n", 'a;"', '"', 'a";', 'a;""', '";"',
    "a;'", "a\n'", "'", "''", "a,;", "a;\n", "\t;", 'a,";', '\n"', "a\n\n",
)  # fmt: skip
BLANKS: Final = (
    "", " ", "   ", "\t", "\v", "\f", "\x1f", "\x85", "\u00a0", "\u1680", "\u2003", "\u200b", "\u200e", "\u2028",
    "\u202f", "\u2060", "\u3000", "\ufeff", "\u2800", "\u00ad", "\u3164", " \u200b\ufeff ",
)  # fmt: skip
TEXTS: Final = tuple(map("".join, product(LEADS, BLANKS, SIGNS, ("1+1", '1";=1', "1,=1"))))
# What a spreadsheet may skip before it judges a cell.
STRIPPED: Final = re.compile(
    r"^[\s\x00-\x1f\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u2060\u2800\u3000\u3164\ufeff]+"
)
CHARACTERS: Final = st.sampled_from("a1 ;,\t\r\n'\"=+-@\u200b\uff1d") | st.characters(
    codec="utf-8", exclude_characters="\0"
)


def exported(texts: Sequence[str]) -> str:
    """Return the CSV of rows of a plain cell, each text, a plain cell and the text again, as COPY writes it."""
    cell = cells.text("text").cell.format("text")
    rows = f"SELECT 1, {cell}, 2, {cell} FROM unnest(%s::text[]) AS text"  # noqa: S608  a cell's SQL
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({rows}) TO STDOUT WITH (FORMAT csv)", (list(texts),)) as lines,
    ):
        return b"".join(bytes(line) for line in lines).decode()


def text_cells(content: str) -> list[str]:
    return [row[1] for row in csv.reader(io.StringIO(content, newline=""))]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_is_a_formula_whatever_separates_cells(separator: str) -> None:
    read = [
        cell for row in csv.reader(io.StringIO(exported(TEXTS), newline=""), delimiter=separator) for cell in row
    ]

    assert len(read) > len(TEXTS)
    assert [cell for cell in read if STRIPPED.sub("", cell).startswith(tuple(SIGNS))] == []
    if separator == ",":
        assert [cell for cell in read if cell.startswith(("\t", "\r", "\n"))] == []


def test_every_one_of_them_is_restored() -> None:
    assert list(map(formulas.unescape, text_cells(exported(TEXTS)))) == list(TEXTS)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(CHARACTERS), min_size=20, max_size=60))
def test_any_text_is_restored_from_csv_and_from_a_workbook(texts: list[str]) -> None:
    workbook_cells = [re.sub(formulas.AMBIGUOUS_PATTERN, "'", text) for text in texts]

    assert list(map(formulas.unescape, text_cells(exported(texts)))) == texts
    assert list(map(formulas.unescape, workbook_cells)) == texts


@pytest.mark.parametrize(
    "text",
    [
        "two\r\nlines",
        "two\n\nparagraphs",
        "a;b",
        "1;2",
        "a=b; c-d",
        "O'Neill",
        "it's;'fine'",
        "a\tb",
        "x,=1",
        "'ok'",
    ],
)
def test_harmless_texts_stay_as_they_are(text: str) -> None:
    assert (text_cells(exported([text])), formulas.unescape(text)) == ([text], text)


def test_a_document_is_escaped_as_a_text_is() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {formulas.escape_document_sql('%s::jsonb::text')}", ['{"note": "a;=1"}'])

        assert cursor.fetchone() == ('{"note": "a;\'=1"}',)
