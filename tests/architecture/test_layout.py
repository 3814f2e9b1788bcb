"""The layout of the repository: its top level, and the sizes of folders, modules and functions."""

import ast
import gc
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL_FOLDERS = {
    "freight",
    "shipments",
    "realtime",
    "exports",
    "monitoring",
    "ratelimits",
    "templates",
    "tests",
    "deploy",
    "docs",
}
FILES = {"manage.py", "pyproject.toml", "requirements.lock", "Makefile", "LICENSE"} | {
    f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")
}
ASSET_SUFFIXES = {".js", ".css", ".html"}
PRODUCT = ("freight", "shipments", "realtime", "exports", "monitoring", "ratelimits")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_MODULES_IN_A_FOLDER = 15
# Ratchet: the lines of today's longest module and function. Lower them, do not raise them: a test fails when one is
# exceeded, and also when it is no longer needed.
LONGEST_MODULES = {"product": 310, "tests": 398}
LONGEST_FUNCTIONS = {"product": 50, "tests": 54}
MODULE_SLACK = 10
FUNCTION_SLACK = 3


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def modules() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py" and "migrations" not in path.parts]


def modules_of(part: str) -> list[Path]:
    return [path for path in modules() if (path.parts[0] in PRODUCT) is (part == "product")]


def line_count(path: Path) -> int:
    return len((ROOT / path).read_text().splitlines())


def function_lengths(path: Path) -> dict[str, int]:
    """Return the number of lines of each function of a module."""
    return {
        f"{node.name}:{node.lineno}": (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(parse((ROOT / path).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def parse(source: str) -> ast.Module:
    """Return a module's syntax tree, parsed without garbage collection.

    A finalizer that parses too (showing a warning does) while `ast.parse` runs makes CPython 3.11 fail with "AST
    constructor recursion depth mismatch".
    """
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        gc.enable()


def test_the_top_level_has_the_declared_folders_and_files() -> None:
    files_in_git = tracked_files()

    folders = {path.parts[0] for path in files_in_git if len(path.parts) > 1 and not path.parts[0].startswith(".")}
    files = {path.name for path in files_in_git if len(path.parts) == 1 and not path.name.startswith(".")}

    assert folders == TOP_LEVEL_FOLDERS
    assert files == FILES


@pytest.mark.parametrize(
    "path", [*modules(), *(path for path in tracked_files() if path.suffix in ASSET_SUFFIXES)], ids=str
)
def test_no_file_is_too_long(path: Path) -> None:
    assert line_count(path) <= MAX_MODULE_LINES


@pytest.mark.parametrize("path", modules(), ids=str)
def test_no_function_is_too_long(path: Path) -> None:
    assert {name: lines for name, lines in function_lengths(path).items() if lines > MAX_FUNCTION_LINES} == {}


def test_no_folder_has_too_many_modules() -> None:
    counts = Counter(path.parent for path in modules() if path.stem != "__init__")

    assert {str(folder): count for folder, count in counts.items() if count > MAX_MODULES_IN_A_FOLDER} == {}


@pytest.mark.parametrize(("part", "most"), LONGEST_MODULES.items())
def test_the_longest_module_does_not_grow(part: str, most: int) -> None:
    longest = max(line_count(path) for path in modules_of(part))

    assert most - MODULE_SLACK <= longest <= most


@pytest.mark.parametrize(("part", "most"), LONGEST_FUNCTIONS.items())
def test_the_longest_function_does_not_grow(part: str, most: int) -> None:
    longest = max(max(function_lengths(path).values(), default=0) for path in modules_of(part))

    assert most - FUNCTION_SLACK <= longest <= most


def test_no_file_or_folder_has_a_name_that_means_nothing() -> None:
    names = {part for path in tracked_files() for part in (*path.parts[:-1], path.stem)}

    assert names & {"utils", "common", "helpers", "misc"} == set()


def test_no_file_names_a_machine_or_a_registry() -> None:
    # Joined here, so that the search does not find this file.
    registries = [f"{name}.org" for name in ("pypi", "pythonhosted", "npmjs", "debian")]
    words = ["/".join(("", "work", "main")), *registries]

    result = subprocess.run(
        ["git", "grep", "-nIF", *(part for word in words for part in ("-e", word))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout == ""
