"""What has come for an application: in order, each once, also where whoever waits gives up."""

import asyncio

from freight.server.websocket.receive_queue import ReceiveQueue


def event(number: int) -> dict[str, int]:
    return {"number": number}


async def test_events_are_taken_in_the_order_in_which_they_came() -> None:
    queue = ReceiveQueue()
    for number in range(3):
        queue.put_nowait(event(number))

    assert queue.qsize() == 3
    assert [await queue.get() for _ in range(3)] == [event(number) for number in range(3)]


async def test_who_waits_is_woken() -> None:
    queue = ReceiveQueue()
    taking = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait(event(1))
    queue.put_nowait(event(2))

    assert await taking == event(1)
    assert await queue.get() == event(2)


async def test_an_event_is_not_lost_with_who_was_to_take_it() -> None:
    queue = ReceiveQueue()
    taking = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait(event(1))
    taking.cancel()
    await asyncio.wait([taking])

    assert taking.cancelled()
    assert await queue.get() == event(1)


async def test_several_may_wait_and_each_gets_one() -> None:
    queue = ReceiveQueue()
    taking = [asyncio.create_task(queue.get()) for _ in range(4)]
    await asyncio.sleep(0)
    taking[0].cancel()  # the others wait for its turn to end
    for number in range(3):
        queue.put_nowait(event(number))
    async with asyncio.timeout(5):
        events = await asyncio.gather(*taking[1:])

    assert sorted(each["number"] for each in events) == [0, 1, 2]


async def test_it_says_once_when_few_are_left() -> None:
    queue, sizes = ReceiveQueue(), []
    for number in range(8):
        queue.put_nowait(event(number))
    queue.on_low_water = lambda: sizes.append(queue.qsize())
    for _ in range(8):
        await queue.get()
        await asyncio.sleep(0)

    assert sizes == [4]
