"""Flags as a fold over what was said about them."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipments.domain.flag_fold import FlagEntry, fold_flag

START = datetime(2026, 3, 1, tzinfo=UTC)
SAID = st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=10)


def entry(hours: int, opens: bool) -> FlagEntry:
    return FlagEntry(START + timedelta(hours=hours), opens=opens, reason=f"{hours}")


@pytest.mark.parametrize(
    ("said", "opened_at"),
    [
        ([], None),
        ([(1, True)], 1),
        ([(1, True), (2, False)], None),
        ([(2, False), (1, True)], None),
        ([(3, True), (1, True)], 1),
        ([(1, True), (2, False), (3, True), (4, True)], 3),
        ([(1, True), (1, False)], None),
        ([(1, False), (2, True)], 2),
    ],
)
def test_the_last_word_counts(said: list[tuple[int, bool]], opened_at: int | None) -> None:
    opened = fold_flag([entry(*each) for each in said])

    assert opened == (None if opened_at is None else entry(opened_at, opens=True))


@given(SAID, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(said: list[tuple[int, bool]], chance: random.Random) -> None:
    entries = [entry(*each) for each in said]
    again = entries + chance.sample(entries, len(entries) // 2)
    chance.shuffle(again)

    assert fold_flag(again) == fold_flag(entries)
