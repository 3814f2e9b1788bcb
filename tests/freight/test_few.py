"""Work in crowds: all of it, in order, and never much at a time."""

import asyncio
from functools import partial

import pytest

from freight.hardened.few import MOST, Few

pytestmark = pytest.mark.asyncio


async def test_all_is_done_in_order_with_the_loops_turns_between() -> None:
    few, done, turns = Few(), list[int](), list[int]()
    for number in range(35):
        few.add(partial(done.append, number))

    while len(done) < 35:
        await asyncio.sleep(0)
        turns.append(len(done))

    assert done == list(range(35))
    assert max(after - before for before, after in zip([0, *turns], turns, strict=False)) == MOST


async def test_what_breaks_does_not_stop_the_rest() -> None:
    few, done, errors = Few(), list[int](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))

    few.add(lambda: done.append(1 // 0))
    few.add(lambda: done.append(2))
    await asyncio.sleep(0.01)
    few.add(lambda: done.append(3))
    await asyncio.sleep(0.01)

    assert done == [2, 3]
    assert [type(error) for error in errors] == [ZeroDivisionError]
