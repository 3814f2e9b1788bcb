"""A test that measures time really has the machine for itself."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

_TESTS = """
import pathlib, time, pytest

SPANS = pathlib.Path(__file__).parent / "spans"

def run(name):
    began = time.monotonic()
    time.sleep(0.05)
    with SPANS.open("a") as spans:
        spans.write(f"{name} {began} {time.monotonic()}\\n")

@pytest.mark.parametrize("number", range(12))
def test_ordinary(number):
    run("ordinary")

@pytest.mark.quiet_machine
@pytest.mark.parametrize("number", range(3))
def test_measuring(number):
    run("measuring")
"""


def test_no_other_test_runs_beside_one_that_measures_time(tmp_path: Path) -> None:
    (tmp_path / "test_spans.py").write_text(_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "-n", "2", "-p", "tests.quiet_machine", "-q", tmp_path],
        cwd=tmp_path, env=inherited | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout
    spans = [line.split() for line in (tmp_path / "spans").read_text().splitlines()]
    assert len(spans) == 15
    quiet = [(float(began), float(ended)) for name, began, ended in spans if name == "measuring"]
    everything = [(float(began), float(ended)) for _, began, ended in spans]
    for began, ended in quiet:
        assert [span for span in everything if span[0] < ended and began < span[1]] == [(began, ended)]
    ordinary = sorted((float(began), float(ended)) for name, began, ended in spans if name == "ordinary")
    overlaps = [1 for (_, ended), (began, _) in itertools.pairwise(ordinary) if began < ended]
    assert overlaps  # else there was nothing to keep apart
