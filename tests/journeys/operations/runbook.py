"""The commands of the operators' runbook."""

import re

from tests.drills.harness.environment import ROOT

PAGE = ROOT / "docs" / "runbooks" / "operations.md"


def bash_lines() -> list[str]:
    """Return every line of every bash block of the page."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def lines_starting_with(program: str) -> list[str]:
    """Return the lines that run a program, each once."""
    return sorted({line for line in bash_lines() if line.split(" ")[0] == program})
