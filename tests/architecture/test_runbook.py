"""Commands, make targets and alerts of the runbook exist.

tests/journeys/operations/test_operations.py runs what it asks of the product.
"""

import re
import shlex
import subprocess
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from tests.drills.harness.environment import ROOT
from tests.journeys.operations import runbook


def test_every_line_is_of_a_kind_that_is_tested() -> None:
    assert {line.split(" ")[0] for line in runbook.bash_lines()} == {
        "curl",
        "grep",
        "make",
        "promtool",
        "python",
        "tail",
    }


@pytest.mark.parametrize("line", runbook.lines_starting_with("python"))
def test_a_management_command_accepts_its_arguments(line: str) -> None:
    program, manage, name, *arguments = shlex.split(line)

    assert (program, manage) == ("python", "manage.py")
    command: Any = load_command_class(get_commands()[name], name)
    command.create_parser("manage.py", name).parse_args(arguments)


def test_the_makefile_has_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()

    assert [
        line for line in runbook.lines_starting_with("make") if f"\n{line.removeprefix('make ')}:" not in makefile
    ] == []


@pytest.mark.parametrize("line", runbook.lines_starting_with("promtool"))
def test_promtool_accepts_the_rules(line: str) -> None:
    result = subprocess.run(shlex.split(line), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_is_in_the_runbook() -> None:
    names = re.findall(r"- alert: (\w+)", (ROOT / "deploy" / "prometheus" / "alerting.yml").read_text())
    page = runbook.PAGE.read_text()

    # AvailabilityBurns… stands for three.
    assert [name for name in names if f"`{name}`" not in page and not name.startswith("AvailabilityBurns")] == []
