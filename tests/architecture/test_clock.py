"""One clock: what the product stores or judges takes its `now` from `monitoring.clock` (docs/decisions/0054)."""

import ast

from tests.architecture.test_layout import ROOT, parse
from tests.architecture.test_write_path import PRODUCT, dotted, imported_names

# Each of these is needed: one that asks its host no more is to be removed.
EXCEPTIONS = {
    "monitoring/health/endpoints.py": "shows what time this host has",
    "monitoring/reports/json_reports.py": "shows what time this host has",
    "monitoring/clock.py": "the clock itself",
    "shipments/management/commands/seed_demo.py": "makes up the past of a demo",
    "shipments/management/commands/simulate.py": "plays the clients of a demo, who have clocks of their own",
}
HOST_CLOCKS = {"django.utils.timezone.now", "datetime.datetime.now", "datetime.datetime.utcnow"}


def test_no_module_asks_its_host_for_the_time() -> None:
    asking = set()
    for path in (path for app in sorted(PRODUCT) for path in (ROOT / app).rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        tree = parse(path.read_text())
        names = imported_names(tree)
        calls = [dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        called = {".".join([names.get(call.partition(".")[0], ""), call.partition(".")[2]]) for call in calls}
        if called & HOST_CLOCKS:
            asking.add(file)

    assert asking == set(EXCEPTIONS)
