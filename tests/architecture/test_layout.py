"""The shape of the house: its rooms, the size of its modules, and what the documents must name."""

import ast
import gc
import subprocess
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
    f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING")
}
ASSET_SUFFIXES = {".js", ".css", ".html"}
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def modules() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py" and "migrations" not in path.parts]


def parse(source: str) -> ast.Module:
    """Parse a module while nothing is collected.

    A finalizer that runs in the midst of it and parses too (a warning that is shown does) upsets CPython
    3.11's count of its recursion: "AST constructor recursion depth mismatch".
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

    assert folders <= TOP_LEVEL_FOLDERS
    assert files == FILES


@pytest.mark.parametrize(
    "path", [*modules(), *(path for path in tracked_files() if path.suffix in ASSET_SUFFIXES)], ids=str
)
def test_no_file_has_outgrown_its_name(path: Path) -> None:
    lines = len((ROOT / path).read_text().splitlines())

    assert lines <= MAX_MODULE_LINES


@pytest.mark.parametrize("path", modules(), ids=str)
def test_no_function_has_outgrown_its_name(path: Path) -> None:
    tree = parse((ROOT / path).read_text())

    long = [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]

    assert long == []


def test_nothing_is_called_utils() -> None:
    names = {part for path in tracked_files() for part in (*path.parts[:-1], path.stem)}

    assert names & {"utils", "common", "helpers", "misc"} == set()


def test_no_file_names_a_machine_or_a_registry() -> None:
    # Put together here, so that this file does not find itself.
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
