"""Plans of statements that are known without their values: every read and write that the product executes."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from monitoring.queries.explain import explain
from monitoring.sql_text import MAX_LENGTH, normalise_sql
from shipments.demo import seed
from shipments.demo.driver_simulator import DriverSimulator
from shipments.demo.shipment_simulator import ShipmentSimulator
from shipments.models import Organization, ShipmentEvent
from shipments.services.feed import audit_chain, sequencer
from tests import factories

pytestmark = pytest.mark.django_db
_KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


def _executed_statements() -> set[str]:
    """Do what dispatchers, drivers and the relay do, and return the normalised statements of it."""
    statements: set[str] = set()

    def note(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        statements.add(normalise_sql(str(sql)))
        return execute(sql, params, many, context)

    seed.seed(shipments=200, events=6, seed=1, now=factories.NOW)
    organization = Organization.objects.get(slug=seed.SLUG)
    simulator = ShipmentSimulator(organization.pk, seed=1, faults=frozenset({"late", "duplicate", "out_of_order"}))
    with connection.execute_wrapper(note):
        for second in range(120):
            simulator.step(factories.NOW + timedelta(seconds=second))
        DriverSimulator(organization.pk, simulator.rng).move(5, now=factories.NOW)
        sequencer.number_batch()
        audit_chain.link_batch()
    return {statement for statement in statements if statement.startswith(_KINDS)}


def test_every_statement_of_the_product_has_a_plan() -> None:
    statements = _executed_statements()
    rows = ShipmentEvent.objects.count()

    plans = {statement: explain(statement) for statement in statements}

    assert {sql: plan for sql, plan in plans.items() if "(cost=" not in plan[0]} == {}
    assert all(any(f"{word} " in sql for sql in statements) for word in ("INSERT INTO", "UPDATE", "DELETE FROM"))
    assert ShipmentEvent.objects.count() == rows


@pytest.mark.parametrize(
    ("sql", "begins"),
    [
        ("VACUUM", "only a single query has a plan"),
        ("SELECT ?; DROP TABLE x", "only a single query has a plan"),
        ("SELECT nothing FROM nowhere", "cannot be explained: relation"),
        ("SELECT " + "?, " * MAX_LENGTH, f"cannot be explained: only its first {MAX_LENGTH} characters"),
        ("SELECT now() - interval ?", "Result"),
        ("SELECT jsonb_build_object(?, ?), unnest(ARRAY[?])", "ProjectSet"),
        ("SELECT id FROM shipments_location WHERE name LIKE '%' || ?", "Seq Scan"),
    ],
)
def test_a_plan_or_what_prevents_it(sql: str, begins: str) -> None:
    assert explain(sql)[0].startswith(begins)
    assert explain("SELECT ?")[0].startswith("Result")
