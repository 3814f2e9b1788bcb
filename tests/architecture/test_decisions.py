"""The decisions: index, links in both directions, numbers without unexplained gaps, and paths that exist."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.test_layout import ROOT, TOP_LEVEL_FOLDERS

FOLDER = ROOT / "docs" / "decisions"
STATUSES = {"accepted", "superseded"}
REVERSE = {"Supersedes": "Superseded by", "Amends": "Amended by", "Extends": "Extended by"}
REVERSE |= {back: there for there, back in REVERSE.items()}
_LINK = re.compile(r"\[(\d+)\]\(([\w.-]+)\)")
_INDEX_ROW = re.compile(r"^\| \[(\d+)\]\(([\w.-]+)\) \| (.+) \| (\S+) \| (.+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Decision:
    """One decision, as its title and header say: `relations` are pairs of a word and a number."""

    number: int
    file: str
    title: str
    date: str
    status: str
    relations: frozenset[tuple[str, int]]
    text: str

    @property
    def status_in_index(self) -> str:
        """The status, with the number of what supersedes it."""
        successors = [str(number) for word, number in self.relations if word == "Superseded by"]
        return " by ".join([self.status, *successors])


def parse(path: Path) -> Decision:
    """Read a decision: a title, a blank line, a header of parts with `·` between them, a blank line, the text."""
    title, header, text = path.read_text().split("\n\n", 2)
    number, _, name = title.removeprefix("# ").partition(". ")
    date, status, *relations = " ".join(header.split()).split(" · ")
    assert date.startswith("Date: ")
    assert status.startswith("Status: ")
    links = [(relation, link) for relation in relations for link in _LINK.findall(relation)]
    assert all((FOLDER / file).name.startswith(f"{int(linked):04}-") for _, (linked, file) in links)
    assert all((FOLDER / file).is_file() for _, (_, file) in links)
    return Decision(
        number=int(number),
        file=path.name,
        title=name,
        date=date.removeprefix("Date: "),
        status=status.removeprefix("Status: "),
        relations=frozenset((relation.partition(" [")[0], int(linked)) for relation, (linked, _) in links),
        text=text,
    )


@cache
def decisions() -> dict[int, Decision]:
    return {int(path.name[:4]): parse(path) for path in sorted(FOLDER.glob("[0-9]*.md"))}


def index() -> str:
    return (FOLDER / "README.md").read_text()


def named_paths(text: str) -> set[str]:
    """Return what is quoted in backticks and looks like a path of the repository."""
    quoted = re.findall(r"`([\w./-]+)`", text)
    return {
        name
        for name in quoted
        if "/" in name.strip("/") and (name.split("/")[0] in TOP_LEVEL_FOLDERS or name.endswith(".py"))
    }


@pytest.mark.parametrize("number", decisions())
def test_a_header_has_the_number_of_its_file_a_date_and_a_status(number: int) -> None:
    decision = decisions()[number]

    assert decision.number == number
    assert re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", decision.date)
    assert decision.status in STATUSES
    assert {word for word, _ in decision.relations} <= set(REVERSE)


@pytest.mark.parametrize("number", decisions())
def test_a_decision_that_names_another_is_named_by_it(number: int) -> None:
    decision = decisions()[number]

    missing = {
        (word, other)
        for word, other in decision.relations
        if (REVERSE[word], number) not in decisions()[other].relations
    }

    assert missing == set()


@pytest.mark.parametrize("number", decisions())
def test_what_is_superseded_says_by_which(number: int) -> None:
    decision = decisions()[number]

    successors = [other for word, other in decision.relations if word == "Superseded by"]

    assert len(successors) == (1 if decision.status == "superseded" else 0)


def test_the_index_is_what_the_headers_say() -> None:
    rows = [(int(number), *rest) for number, *rest in _INDEX_ROW.findall(index())]

    assert rows == [
        (each.number, each.file, each.title, each.date, each.status_in_index) for each in decisions().values()
    ]


def test_every_missing_number_is_explained() -> None:
    explanation = index().partition("## Missing numbers")[2]
    missing = set(range(1, max(decisions()) + 1)) - set(decisions())

    assert {number for number in missing if not re.search(rf"\b{number}\b", explanation)} == set()


@pytest.mark.parametrize("number", decisions())
def test_an_accepted_decision_names_paths_that_exist(number: int) -> None:
    decision = decisions()[number]
    paths = named_paths(decision.text) if decision.status == "accepted" else set()

    assert {path for path in paths if not (ROOT / path).exists()} == set()
