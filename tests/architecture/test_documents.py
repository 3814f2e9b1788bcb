"""What the documents refer to exists: files that they link to, and paths that they name in backticks."""

import re
from pathlib import Path

import pytest

from tests.architecture.test_decisions import named_paths
from tests.architecture.test_layout import ROOT, tracked_files

# Decisions are history: test_decisions.py reads them. The changelog names what was there.
DOCUMENTS = [
    path
    for path in tracked_files()
    if path.suffix == ".md" and "decisions" not in path.parts and path.name != "CHANGELOG.md"
]


def linked_files(text: str) -> set[str]:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    return {target for target in targets if "://" not in target and not target.startswith("mailto:")}


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_of_a_document_lead_to_files(path: Path) -> None:
    targets = linked_files((ROOT / path).read_text())

    assert {target for target in targets if not (ROOT / path.parent / target).exists()} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_paths_in_a_document_exist(path: Path) -> None:
    names = named_paths((ROOT / path).read_text())

    assert {name for name in names if not (ROOT / name).exists()} == set()
