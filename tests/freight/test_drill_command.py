"""`manage.py drill` loads the drills where they are installed, and says so where they are not."""

import json
import sys
from io import StringIO
from typing import Any, NoReturn

import pytest
from django.core.management import CommandError, ManagementUtility, call_command

from tests.drills import commands
from tests.drills.scenarios.runner import SCENARIOS


@pytest.mark.parametrize("missing", ["tests", "tests.drills"])
@pytest.mark.parametrize("words", [["delivery", "--quick", "--seed", "3"], ["relay"], []])
def test_where_no_drills_are_installed_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str, words: list[str]
) -> None:
    for name in [name for name in sys.modules if name == missing or name.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(SystemExit) as ended:
        ManagementUtility(["manage.py", "drill", *words]).execute()

    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "CommandError: The drills are not installed here: they come with the source checkout (tests/drills).\n"
    )


def test_another_missing_module_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tests.drills.commands")
    monkeypatch.delattr(sys.modules["tests.drills"], "commands")
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.delitem(sys.modules, "tests.drills.leak")
    monkeypatch.delattr(sys.modules["tests.drills"], "leak")

    with pytest.raises(ModuleNotFoundError, match="psutil"):
        call_command("drill", "relay")


def test_a_row_is_one_of_the_scenarios() -> None:
    with pytest.raises(CommandError, match="invalid choice: 'nonsense'"):
        call_command("drill", "delivery", "--row", "nonsense")

    assert len(SCENARIOS) == 25


def test_each_evidence_is_a_line_and_the_status_is_whether_all_held(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held:
        holds = True

        def as_json(self) -> dict[str, object]:
            return {"drill": "relay", "holds": self.holds}

    class Broke(Held):
        holds = False

    monkeypatch.setattr(commands, "_run", lambda options, **_: [Held(), Broke()])
    out = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("drill", "delivery", "--quick", stdout=out)

    assert ended.value.code == 1
    assert out.getvalue() == '{"drill": "relay", "holds": true}\n{"drill": "relay", "holds": false}\n'


def test_what_ends_a_drill_early_is_evidence_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def end_early(options: dict[str, Any], **_: Any) -> NoReturn:
        raise ExceptionGroup("two tasks", [RuntimeError("relay did not get ready:\nno disk"), ValueError("later")])

    monkeypatch.setattr(commands, "_run", end_early)
    lines: list[str] = []

    held = commands.run_here({"name": "exports"}, out=lines.append, err=lines.append)

    assert not held
    assert [json.loads(line) for line in lines] == [
        {"drill": "exports", "ended_by": "RuntimeError: relay did not get ready: | no disk", "holds": False}
    ]
    with pytest.raises(ExceptionGroup):
        commands.run_here({"name": "exports", "traceback": True}, out=lines.append, err=lines.append)
