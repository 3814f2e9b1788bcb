"""docs/rest.md is true: its program runs against the product as it stands, and its tables are those of the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shipments.auth.subjects import SCOPE_MEANINGS
from shipments.domain.lifecycle import TRANSITIONS
from tests import factories
from tests.drills.harness.environment import ROOT
from tests.drills.harness.presets import journey_stage
from tests.drills.harness.process import everything, relay
from tests.drills.harness.product_stage import ProductStage

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
GUIDE = (ROOT / "docs/rest.md").read_text()


@pytest.fixture
def stage(tmp_path: Path, committed: None) -> Iterator[ProductStage]:
    with journey_stage(tmp_path, [everything(), relay()], EXPORT_DIR=str(tmp_path / "exports")) as running:
        yield running


def program() -> str:
    """Return the Python blocks, each at the lines where it stands in the guide."""
    lines = [""] * len(GUIDE.splitlines())
    for block in re.finditer(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE):
        first = GUIDE[: block.start(1)].count("\n")
        for number, line in enumerate(block[1].splitlines()):
            lines[first + number] = line
    return "\n".join(lines) + "\n"


def test_the_program_of_the_guide_runs(stage: ProductStage) -> None:
    user = factories.user(factories.organization(), "dispatcher", password=factories.PASSWORD)
    source = program()
    for written, real in (
        ("http://localhost:4000", stage.url),
        ("dispatcher@demo.test", user.email),
        ("freight-demo", factories.PASSWORD),
    ):
        assert source.count(written) == 1
        source = source.replace(written, real)

    names: dict[str, object] = {}
    try:
        exec(compile(source, "docs/rest.md", "exec"), names)  # noqa: S102  our own document
    finally:
        for client in (each for each in names.values() if isinstance(each, httpx.Client)):
            client.close()

    assert "explained" in names  # by its last block


def test_the_guide_has_the_table_of_transitions() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ((?:`[a-z_]+`(?:, )?)*|nothing[^|]*) \|$", GUIDE, re.MULTILINE))

    assert {state: tuple(re.findall("`([a-z_]+)`", rows[state])) for state in TRANSITIONS} == TRANSITIONS


def test_the_guide_has_the_table_of_scopes() -> None:
    rows = dict(re.findall(r"^\| `([a-z]+:[a-z]+)` \| ([^|]+) \|$", GUIDE, re.MULTILINE))

    assert rows == SCOPE_MEANINGS
