"""The runbook says what works; what it asks of the product is tried in tests/journeys/operations/test_operations.py."""

import re
import shlex
import subprocess
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from tests.drills.harness.environment import ROOT
from tests.journeys.operations import runbook


def test_each_line_is_of_a_kind_that_is_tried() -> None:
    assert {line.split(" ")[0] for line in runbook.bash_lines()} == {
        "curl",
        "grep",
        "make",
        "promtool",
        "python",
        "tail",
    }


@pytest.mark.parametrize("line", runbook.lines_starting_with("python"))
def test_a_command_exists_and_takes_its_arguments(line: str) -> None:
    program, manage, name, *arguments = shlex.split(line)

    assert (program, manage) == ("python", "manage.py")
    command: Any = load_command_class(get_commands()[name], name)
    command.create_parser("manage.py", name).parse_args(arguments)


def test_the_makefile_has_what_is_made() -> None:
    makefile = (ROOT / "Makefile").read_text()

    assert [
        line for line in runbook.lines_starting_with("make") if f"\n{line.removeprefix('make ')}:" not in makefile
    ] == []


@pytest.mark.parametrize("line", runbook.lines_starting_with("promtool"))
def test_promtool_says_yes(line: str) -> None:
    result = subprocess.run(shlex.split(line), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_that_ships_is_on_the_page() -> None:
    names = re.findall(r"- alert: (\w+)", (ROOT / "deploy" / "prometheus" / "alerting.yml").read_text())
    page = runbook.PAGE.read_text()

    # AvailabilityBurns… stands for three.
    assert [name for name in names if f"`{name}`" not in page and not name.startswith("AvailabilityBurns")] == []
