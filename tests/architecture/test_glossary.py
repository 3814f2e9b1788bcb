"""The words of docs/glossary.md stand in the code; words that were given up do not come back."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| (?P<word>[^|]+) \| [^|]+ \| `(?P<path>[^`]+)` `(?P<name>\w+)` \|$", re.MULTILINE)
# What a stranger greps for, and the module that is the thing: its docstring has the word.
PLACES = {
    "backpressure": "freight/server/websocket/send_buffer.py",
    "batch": "monitoring/dependencies/batching.py",
    "circuit breaker": "monitoring/dependencies/breaker.py",
    "drain": "freight/server/drain.py",
    "fan-out": "realtime/hub/delivery.py",
    "fast path": "freight/fast_path/application.py",
    "idempotency": "shipments/services/idempotency.py",
    "keyset": "shipments/selectors/lists/keyset.py",
    "LRU": "shipments/caching/local_store.py",
    "outbox": "shipments/log.py",
    "replay": "realtime/hub/replay_cache.py",
    "revocation": "realtime/access/revocation.py",
    "sequencer": "shipments/services/feed/sequencer.py",
    "single-flight": "shipments/caching/single_flight.py",
}


def rows() -> list[re.Match[str]]:
    return list(_ROW.finditer((ROOT / "docs/glossary.md").read_text()))


def older_words() -> list[tuple[str, str]]:
    """Return the cells of each row in the glossary's last table: what was, and what is."""
    table = (ROOT / "docs/glossary.md").read_text().partition("## Words of older documents")[2]
    cells = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    return [(old, new) for old, new in cells]


def retired() -> set[str]:
    """Return the words in the first column of the glossary's last table."""
    return {word.lstrip("_") for old, _ in older_words() for word in re.findall(r"`(\w+)`", old)}


@cache
def modules() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", ":!*/migrations/*"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    here = Path(__file__).relative_to(ROOT)
    paths = [Path(line) for line in listed.stdout.split()]
    return [path for path in paths if path != here and (ROOT / path).exists()]


def identifiers(path: Path) -> set[str]:
    """Return the words of the module's names, `_private` and `ClassName` as they are written."""
    return {word.lstrip("_") for word in re.findall(r"[A-Za-z_]\w*", without_strings(path.read_text()))}


def without_strings(source: str) -> str:
    """Return the source without comments and quoted text: prose may use any word."""
    return re.sub(r"\"\"\".*?\"\"\"|'''.*?'''|\"[^\"\n]*\"|'[^'\n]*'|#[^\n]*", "", source, flags=re.DOTALL)


@cache
def names_in_use() -> dict[str, set[Path]]:
    """Return where each name of the code stands, names of modules and folders included."""
    places: dict[str, set[Path]] = {}
    for path in modules():
        for name in identifiers(ROOT / path) | set(path.with_suffix("").parts):
            places.setdefault(name, set()).add(path)
    return places


def test_the_glossary_has_some_forty_words_and_more() -> None:
    assert len(rows()) >= 40


def test_every_row_of_the_glossary_names_a_place() -> None:
    body = (ROOT / "docs/glossary.md").read_text().partition("## Words of older documents")[0]
    table_rows = [line for line in body.splitlines() if line.startswith("| ") and not line.startswith("| word |")]

    assert len(rows()) == len(table_rows)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["word"])
def test_a_word_stands_where_the_glossary_says(row: re.Match[str]) -> None:
    path = ROOT / row["path"]

    assert path.is_file()
    assert re.search(rf"\b{row['name']}\b", path.read_text())


@pytest.mark.parametrize("word", PLACES)
def test_a_search_for_a_word_of_the_field_finds_its_module(word: str) -> None:
    docstring = (ROOT / PLACES[word]).read_text().split('"""')[1]

    assert word.lower() in docstring.lower()


def test_what_took_the_place_of_an_older_word_stands_in_the_code() -> None:
    new = {name for _, cell in older_words() for name in re.findall(r"`([^`]+)`", cell)}

    assert {name for name in new if name not in names_in_use() and not (ROOT / name).exists()} == set()


def test_retired_words_do_not_come_back() -> None:
    words = retired()

    returned = {f"{path}: {word}" for word in words for path in names_in_use().get(word, ())}

    assert len(words) >= 40
    assert returned == set()


def test_a_retired_word_would_be_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('class _Shelf:\n    """A Census of it."""\n\n    few = Few()  # Nursery\n')

    assert identifiers(module) & retired() == {"Shelf", "Few"}
