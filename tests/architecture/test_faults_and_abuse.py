"""Every test that a document names by its id exists, and every row of faults and abuse names one."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.test_documents import DOCUMENTS
from tests.architecture.test_layout import ROOT

PAGE = Path("docs/faults-and-abuse.md")
_ID = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions_of(path: str) -> frozenset[str]:
    """Return the names of a module's functions, none where there is no such file."""
    file = ROOT / path
    tree = ast.parse(file.read_text()) if file.exists() else ast.Module([], [])
    return frozenset(
        each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def missing_tests(text: str) -> list[str]:
    return [f"{path}::{name}" for path, name in _ID.findall(text) if name not in functions_of(path)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_a_test_that_a_document_names_exists(path: Path) -> None:
    assert missing_tests((ROOT / path).read_text()) == []


def test_every_row_names_the_test_that_holds_it() -> None:
    rows = [line for line in (ROOT / PAGE).read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.endswith("| test |")]

    assert len(rows) > 80
    assert [row for row in rows if not _ID.search(row.rsplit("|", 2)[1])] == []


def test_a_test_that_is_gone_would_be_seen() -> None:
    assert missing_tests("`tests/architecture/test_layout.py::test_gone` and `tests/gone.py::test_x`") == [
        "tests/architecture/test_layout.py::test_gone",
        "tests/gone.py::test_x",
    ]
