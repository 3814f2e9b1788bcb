"""One write path: a shipment is saved, and its events are recorded, in `shipments/services/write.py` alone.

The database refuses a tracked column that changes without `seq + 1`, and a `seq` without its event; this test
refuses the code that would try. It reads the syntax trees of the product, so a write through `getattr`, or a table
name put together at run time, is refused by the database alone.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.test_layout import ROOT, modules, parse

WRITE_PATH = "shipments/services/write.py"
# Each of these is needed: `test_every_exception_is_needed` holds it.
EXCEPTIONS = {
    WRITE_PATH: "the write path itself",
    "shipments/services/shipments/bookings.py": "inserts new shipments, which nobody can have locked",
    "shipments/demo/loader.py": "loads an empty organisation by COPY and proves the invariants afterwards",
    "shipments/log.py": "builds and inserts the events that the write path hands it",
}
PRODUCT = {"freight", "shipments", "realtime", "exports", "monitoring", "ratelimits"}
MODELS = {"Shipment", "ShipmentEvent"}
LOG_CALLS = {"record", "build_event", "insert_events_and_audit"}
QUERYSET_WRITES = {
    name
    for each in ("create", "bulk_create", "update", "bulk_update", "get_or_create", "update_or_create", "delete")
    for name in (each, f"a{each}")
}
INSTANCE_WRITES = {"save", "asave", "save_base", "delete", "adelete"}
WRITING_SQL = re.compile(
    r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE|MERGE\s+INTO|COPY|ALTER\s+TABLE)\s+\"?"
    r"(shipments_shipment|shipments_shipmentevent)\b",
    re.IGNORECASE,
)
TABLES = {"shipments_shipment", "shipments_shipmentevent"}


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Return what each name of a module was imported as: `writes` -> `shipments.compiled_sql.writes`."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names.update({each.asname or each.name: f"{node.module}.{each.name}" for each in node.names})
        elif isinstance(node, ast.Import):
            names.update({each.asname or each.name: each.name for each in node.names})
    return names


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` of a chain of attributes and calls, without their arguments."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return dotted(node.func) if isinstance(node, ast.Call) else ""


class WriteFinder:
    """Finds the writes of shipments and of their events in one module."""

    def __init__(self, source: str) -> None:
        self._tree = parse(source)
        self._imports = imported_names(self._tree)
        self._models = {
            name for name, full in self._imports.items()
            if full.startswith("shipments.models") and full.rpartition(".")[2] in MODELS
        }  # fmt: skip
        # Local names of query sets and instances: `rows = Shipment.objects…`, `row = Shipment(…)`, `row: Shipment`.
        self._rows = set(self._named_rows())
        self._other_rows = set(self._named_rows_of_others())

    def writes(self) -> Iterator[str]:
        """Yield a line for each write."""
        for node in ast.walk(self._tree):
            if reason := self._reason(node):
                yield f"{getattr(node, 'lineno', 0)}: {reason}"

    def _named_rows(self) -> Iterator[str]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Assign) and self._is_of_model(node.value):
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
                target = node.arg if isinstance(node, ast.arg) else dotted(node.target)
                if {each.id for each in ast.walk(node.annotation) if isinstance(each, ast.Name)} & self._models:
                    yield target

    def _named_rows_of_others(self) -> Iterator[str]:
        """Yield the locals that are made of another model: `row = IdempotencyKey(…)`."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                full = self._imports.get(dotted(node.value).partition(".")[0], "")
                if full.startswith("shipments.models.") and full.rpartition(".")[2] not in MODELS:
                    yield from (target.id for target in node.targets if isinstance(target, ast.Name))

    def _is_of_model(self, node: ast.expr) -> bool:
        return dotted(node).partition(".")[0] in self._models

    def _is_row(self, node: ast.expr) -> bool:
        name = dotted(node)
        return name.partition(".")[0] in self._rows | self._models or name.rpartition(".")[2] == "shipment"

    def _reason(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Call):
            return self._call_reason(node)
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Attribute) and t.attr == "seq" and self._is_row(t.value) for t in targets):
                return "counts a shipment's seq"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._text_reason(node.value)
        return None

    def _call_reason(self, node: ast.Call) -> str | None:
        name = dotted(node.func)
        first, _, rest = name.partition(".")
        full = f"{self._imports.get(first, first)}.{rest}".rstrip(".")
        method = name.rpartition(".")[2]
        if full in {f"shipments.log.{each}" for each in LOG_CALLS}:
            return "records an event"
        if full == "shipments.compiled_sql.writes.update":
            known = {dotted(each) for each in node.args} & self._other_rows
            return None if known else "saves a row"
        if full == "shipments.compiled_sql.writes.insert" and any(self._is_row(each) for each in node.args):
            return "inserts a row"
        if self._imports.get(first, "").endswith(".ShipmentEvent") and not rest:
            return "builds an event"
        if not isinstance(node.func, ast.Attribute) or not self._is_row(node.func.value):
            return None
        if method in INSTANCE_WRITES or (method in QUERYSET_WRITES and self._is_query(node.func.value)):
            return f"calls {method}()"
        return None

    def _is_query(self, node: ast.expr) -> bool:
        name = dotted(node)
        if name.endswith("__dict__"):
            return False
        return name.partition(".")[0] in self._rows or ".objects" in name or "_manager" in name

    def _text_reason(self, text: str) -> str | None:
        if WRITING_SQL.search(text):
            return "writes by SQL"
        # A bare table name is what SQL is put together from.
        return "names the table" if text in TABLES else None


def writes_of(source: str) -> list[str]:
    return list(WriteFinder(source).writes())


def product_modules() -> list[Path]:
    return [path for path in modules() if path.parts[0] in PRODUCT]


@pytest.mark.parametrize("path", [path for path in product_modules() if str(path) not in EXCEPTIONS], ids=str)
def test_no_other_module_writes_a_shipment(path: Path) -> None:
    assert writes_of((ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", EXCEPTIONS)
def test_every_exception_is_needed(path: str) -> None:
    assert writes_of((ROOT / path).read_text()) != []


WRITES_IMPORT = "from shipments.compiled_sql import writes\n"
MODEL_IMPORT = "from shipments.models import Shipment, ShipmentEvent\n"


@pytest.mark.parametrize(
    "source",
    [
        "from shipments import log\nlog.record(shipment, type='amended')",
        "from shipments.log import record as note\nnote(shipment, type='amended')",
        "from shipments import log\nlog.insert_events_and_audit([event], [])",
        WRITES_IMPORT + "writes.update(shipment, ('status',))",
        "from shipments.compiled_sql.writes import update\nupdate(shipment, ('status',))",
        WRITES_IMPORT + "writes.insert(shipment)",
        MODEL_IMPORT + "Shipment.objects.filter(pk=1).update(status='lost')",
        MODEL_IMPORT + "Shipment.objects.bulk_create(rows)",
        MODEL_IMPORT + "Shipment._base_manager.filter(pk=1).delete()",
        MODEL_IMPORT + "rows = Shipment.objects.not_deleted()\nrows.update(status='lost')",
        MODEL_IMPORT + "row = Shipment.objects.get(pk=1)\nrow.save(update_fields=['status'])",
        MODEL_IMPORT + "def change(row: Shipment | None) -> None:\n    row.save()",
        "def change(checkpoint):\n    checkpoint.shipment.save()",
        "async def change(shipment):\n    await shipment.asave()",
        "shipment.seq += 1",
        MODEL_IMPORT + "row = Shipment.objects.get(pk=1)\nrow.seq = 4",
        MODEL_IMPORT + "event = ShipmentEvent(seq=2)",
        MODEL_IMPORT + "ShipmentEvent.objects.create(seq=2)",
        "cursor.execute('UPDATE shipments_shipment SET status = %s', ['lost'])",
        "cursor.execute(f'''\n    INSERT INTO \"shipments_shipmentevent\" ({columns}) VALUES (%s)\n''')",
        "TABLES = {'shipments_shipment': COLUMNS}",
    ],
)
def test_a_planted_write_is_found(source: str) -> None:
    assert len(writes_of(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        MODEL_IMPORT + "rows = Shipment.objects.visible_to(by).select_for_update()\nlist(rows)",
        MODEL_IMPORT + "shipment = Shipment.objects.get(pk=1)\nseq = shipment.seq + 1",
        "from shipments import log\nlog.record_audit(by=by, now=now, action='update')",
        "from shipments.models import Checkpoint\nCheckpoint.objects.create(shipment=shipment)",
        "from shipments.models import Checkpoint\ncheckpoint = Checkpoint(shipment=shipment)\ncheckpoint.save()",
        MODEL_IMPORT + "def show(row: Shipment) -> None:\n    row.__dict__.update(other.__dict__)",
        "from shipments.models import Checkpoint\ncheckpoint = Checkpoint(pk=1)\n"
        + WRITES_IMPORT
        + "writes.update(checkpoint, ('note',))",
        "cursor.execute('SELECT seq FROM shipments_shipment FOR UPDATE')",
        "cursor.execute('UPDATE shipments_shipmentcopy SET status = %s')",
    ],
)
def test_a_read_is_no_write(source: str) -> None:
    assert writes_of(source) == []
