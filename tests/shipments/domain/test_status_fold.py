"""The observation graph and the fold, over every pair of states and many random histories."""

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipments.domain.lifecycle import IN_CUSTODY, STATES, TRANSITIONS
from shipments.domain.status_fold import (
    OBSERVATION_EDGES,
    REACHABLE,
    FoldEntry,
    fold,
    is_before_any_booking,
    next_status,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
OBSERVED = st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 12)), max_size=12)


def entries(observed: list[tuple[str, int]]) -> list[FoldEntry]:
    return [
        FoldEntry(key=number, state=state, effective_at=START + timedelta(hours=hours), is_command=False)
        for number, (state, hours) in enumerate(observed)
    ]


def test_the_graph_is_the_table_of_transitions_with_its_exceptions() -> None:
    commands = {(state, to) for state, after in TRANSITIONS.items() for to in after}
    observed = {(state, to) for state, after in OBSERVATION_EDGES.items() for to in after}

    assert observed - commands == {("delivered", "returned")}
    assert commands - observed == {
        ("booked", "draft"),
        ("dispatched", "booked"),
        ("at_pickup", "dispatched"),
        ("returning", "in_transit"),
        *((state, "lost") for state, after in TRANSITIONS.items() if "lost" in after),
    }


def test_delivered_can_only_be_returned() -> None:
    assert REACHABLE["delivered"] == {"returning", "returned"}


def test_only_final_states_have_no_successor() -> None:
    assert {state for state in STATES if not REACHABLE[state]} == {"returned", "cancelled"}


def test_no_observation_leads_out_of_custody() -> None:
    for state in IN_CUSTODY:
        assert REACHABLE[state] & {"draft", "booked", "dispatched", "at_pickup", "cancelled"} == set()


def test_no_observation_leads_to_lost() -> None:
    assert all("lost" not in REACHABLE[state] for state in STATES)


# The way back to the sender: whatever a carrier scans there is the return, and the delivery ends it.
ON_THE_WAY_BACK = {
    ("returning", "in_transit"): "returning",
    ("returning", "at_facility"): "returning",
    ("returning", "out_for_delivery"): "returning",
    ("returning", "at_delivery"): "returning",
    ("returning", "delivery_attempted"): "returning",
    ("returning", "available_for_pickup"): "returning",
    ("returning", "delivered"): "returned",
    ("returned", "delivered"): "returned",
}


def test_every_pair_of_states_has_an_outcome() -> None:
    for status, observed in itertools.product(STATES, repeat=2):
        after = next_status(status, observed, is_command=False)

        if observed == status or (status, observed) in ON_THE_WAY_BACK:
            assert after == ON_THE_WAY_BACK.get((status, observed), status)
        else:
            assert after == (observed if observed in REACHABLE[status] else None)


@given(OBSERVED, st.randoms(use_true_random=False))
def test_any_order_and_repetition_gives_one_status(observed: list[tuple[str, int]], chance: random.Random) -> None:
    arrived = entries(observed)
    # Some are reported twice: each time as an entry of its own.
    repeated = [replace(each, key=("again", each.key)) for each in chance.sample(arrived, len(arrived) // 2)]
    shuffled = arrived + repeated
    chance.shuffle(shuffled)

    one, other = (replace(fold("booked", START, each), applied=frozenset()) for each in (arrived, shuffled))

    assert one == other


@given(OBSERVED, st.sampled_from(["delivered", "returned", "cancelled"]))
def test_no_later_observation_changes_a_final_state(observed: list[tuple[str, int]], end: str) -> None:
    after = fold(end, START, entries(observed)).status

    assert after in {end} | REACHABLE[end]


@given(OBSERVED, st.integers(0, 11))
def test_a_voided_observation_has_no_effect_on_the_status(observed: list[tuple[str, int]], number: int) -> None:
    remaining = [entry for entry in entries(observed) if entry.key != number]
    without = observed[:number] + observed[number + 1 :]

    assert fold("booked", START, remaining).status == fold("booked", START, entries(without)).status


def test_a_late_scan_is_applied_in_the_past_and_changes_no_status() -> None:
    history = entries([("in_transit", 1), ("delivered", 5), ("at_facility", 3)])

    folded = fold("booked", START, history)

    assert (folded.status, folded.delivered_at) == ("delivered", START + timedelta(hours=5))
    assert folded.applied == {0, 1, 2}


def test_a_scan_after_delivery_is_out_of_order() -> None:
    folded = fold("booked", START, entries([("delivered", 1), ("in_transit", 2)]))

    assert folded.status == "delivered"
    assert folded.applied == {0}


def test_a_delivery_on_the_way_back_is_the_return() -> None:
    way_back = [("in_transit", 1), ("returning", 2), ("at_facility", 3), ("out_for_delivery", 4), ("delivered", 5)]

    folded = fold("booked", START, entries(way_back))

    assert (folded.status, folded.delivered_at) == ("returned", None)
    assert folded.applied == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("at", "is_none"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), True),
        (START - timedelta(days=180, seconds=1), True),
        (START - timedelta(days=180), False),
        (START + timedelta(days=400), False),
    ],
)
def test_a_time_long_before_the_booking_is_no_time(at: datetime, is_none: bool) -> None:
    assert is_before_any_booking(at, START) is is_none
