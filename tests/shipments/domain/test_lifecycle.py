"""The table of transitions, over every pair of states, and the guards."""

import itertools

import pytest

from shipments.domain import lifecycle

# The transitions written down a second time, on purpose.
TABLE = """
draft                → booked, cancelled
booked               → dispatched, draft, cancelled
dispatched           → at_pickup, in_transit, booked, cancelled
at_pickup            → in_transit, dispatched, cancelled
in_transit           → at_facility, out_for_delivery, at_delivery, delivery_attempted, available_for_pickup,\
                       partially_delivered, delivered, returning, lost
at_facility          → in_transit, out_for_delivery, at_delivery, delivery_attempted, available_for_pickup,\
                       partially_delivered, delivered, returning, lost
out_for_delivery     → at_delivery, delivery_attempted, available_for_pickup, partially_delivered, delivered,\
                       at_facility, in_transit, returning, lost
at_delivery          → delivered, partially_delivered, delivery_attempted, in_transit, returning
delivery_attempted   → out_for_delivery, at_facility, in_transit, at_delivery, available_for_pickup,\
                       partially_delivered, delivered, returning, lost
available_for_pickup → delivered, partially_delivered, out_for_delivery, returning, lost
partially_delivered  → out_for_delivery, in_transit, at_facility, at_delivery, delivered, returning, lost
delivered            → returning
returning            → returned, in_transit, lost
lost                 → in_transit, at_facility, delivered, returning
returned             →
cancelled            →
"""
LEGAL = {
    (current.strip(), to.strip())
    for current, _, tos in (line.partition("→") for line in TABLE.strip().splitlines())
    for to in tos.split(",")
    if to.strip()
}
PAIRS = list(itertools.product(lifecycle.STATES, repeat=2))


@pytest.mark.parametrize(("current", "to"), PAIRS)
def test_every_pair_is_as_the_table_says(current: str, to: str) -> None:
    try:
        lifecycle.check_transition(current, to, assigned=True, on_hold=False)
        legal = True
    except lifecycle.IllegalTransition as error:
        legal = False
        assert set(error.allowed) == {after for before, after in LEGAL if before == current}

    assert legal == ((current, to) in LEGAL)


@pytest.mark.parametrize("current", ["dispatched", "at_pickup"])
def test_in_transit_needs_an_assignment(current: str) -> None:
    with pytest.raises(lifecycle.IllegalTransition, match="Assign a driver") as refused:
        lifecycle.check_transition(current, "in_transit", assigned=False, on_hold=False)

    assert "in_transit" not in refused.value.allowed


def test_a_hold_blocks_states_in_custody_and_no_others() -> None:
    assert lifecycle.allowed_transitions("at_pickup", assigned=True, on_hold=True) == ("dispatched", "cancelled")
    assert lifecycle.allowed_transitions("in_transit", assigned=True, on_hold=True) == ()


def test_no_cancellation_once_the_carrier_has_custody() -> None:
    cancellable = {current for current, to in LEGAL if to == "cancelled"}

    assert cancellable & lifecycle.IN_CUSTODY == set()


def test_a_shipment_is_under_way_while_its_driver_has_it() -> None:
    assert {
        "in_transit",
        "at_facility",
        "out_for_delivery",
        "at_delivery",
        "delivery_attempted",
        "partially_delivered",
        "returning",
    } == lifecycle.UNDERWAY
