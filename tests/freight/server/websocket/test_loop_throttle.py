"""Work in crowds: all of it, in order, and never much at a time."""

import asyncio
from functools import partial

import pytest

from freight.server.websocket.loop_throttle import MAX_PER_ITERATION, LoopThrottle

pytestmark = pytest.mark.asyncio


async def test_all_is_done_in_order_with_the_loops_turns_between() -> None:
    throttle, done, turns = LoopThrottle(), list[int](), list[int]()
    for number in range(35):
        throttle.add(partial(done.append, number))

    while len(done) < 35:
        await asyncio.sleep(0)
        turns.append(len(done))

    assert done == list(range(35))
    assert max(after - before for before, after in zip([0, *turns], turns, strict=False)) == MAX_PER_ITERATION


async def test_what_breaks_does_not_stop_the_rest() -> None:
    throttle, done, errors = LoopThrottle(), list[int](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))

    async def wait_for(count: int) -> None:
        async with asyncio.timeout(10):
            while len(done) < count:  # noqa: ASYNC110  the turns of the loop are what is waited for
                await asyncio.sleep(0)

    throttle.add(lambda: done.append(1 // 0))
    throttle.add(lambda: done.append(2))
    await wait_for(1)
    throttle.add(lambda: done.append(3))
    await wait_for(2)

    assert done == [2, 3]
    assert [type(error) for error in errors] == [ZeroDivisionError]
