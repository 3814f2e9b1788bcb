"""The Hypothesis state machine that chooses the acts of an interleaving."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.drills.harness.product_stage import ProductStage
from tests.drills.scenarios.interleaving_model import World

_MAX_CLIENTS: Final = 5
_MAX_MOVABLE_SHIPMENTS: Final = 3  # that may still move
# To start a process takes as long as many other steps.
_STEPS_BETWEEN_KILLS: Final = 10
DELIVERIES: Final = "deliveries"
# Hypothesis holds the first ones to be the simplest.
_KINDS: Final = (
    "flush", "create", "arrive", "revoke", "leave", "kill", *["disconnect"] * 2, *["compare"] * 3, *["join"] * 4,
    *["transition"] * 10,
)  # fmt: skip
_NUMBER: Final = st.integers(0, 59)


def run_machine(
    stage: ProductStage, loop: asyncio.AbstractEventLoop, *, steps: int, runs: int, number: int
) -> Counter[str]:
    """Run the machine in this thread, its acts on the event loop of another, and count steps and deliveries.

    The first run is always of the simplest steps alone. Raises ModelMismatch, and prints the steps that led to it.
    Examples are not shrunk: each takes real time.
    """
    counts: Counter[str] = Counter()

    class Machine(InterleavingMachine):
        def __init__(self) -> None:
            super().__init__(stage, loop, f"{number}/{counts.total()}", counts)

    seed(number)(Machine)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=runs, stateful_step_count=steps, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck), print_blob=False,
        ),
    )  # fmt: skip
    return counts


class InterleavingMachine(RuleBasedStateMachine):
    """Creates, transitions, joins, leaves, disconnects, kills, flushes and revokes in any order."""

    def __init__(
        self, stage: ProductStage, loop: asyncio.AbstractEventLoop, name: str, counts: Counter[str]
    ) -> None:
        super().__init__()
        self._loop, self._counts = loop, counts
        self._world = World(stage, name)
        self._steps_since_kill = 0

    def _run(self, step: Callable[..., Coroutine[Any, Any, None]], *arguments: int) -> None:
        self._counts[step.__name__] += 1
        self._steps_since_kill += 1
        asyncio.run_coroutine_threadsafe(step(*arguments), self._loop).result()

    @initialize()
    def begin(self) -> None:
        self._run(self._world.begin)
        self._run(self._world.create)
        for _ in range(2):
            self._run(self._world.arrive)

    # One rule for all acts: of many rules, Hypothesis leaves most out of a run to find small examples.
    @rule(kind=st.sampled_from(_KINDS), one=_NUMBER, other=_NUMBER)
    def act(self, kind: str, one: int, other: int) -> None:
        world = self._world
        if not world.movable or (kind == "create" and len(world.movable) < _MAX_MOVABLE_SHIPMENTS):
            self._run(world.create)
        elif kind == "arrive" and len(world.active_clients) < _MAX_CLIENTS:
            self._run(world.arrive)
        elif kind == "kill" and self._steps_since_kill >= _STEPS_BETWEEN_KILLS:
            self._run(world.kill, one)
            self._steps_since_kill = 0
        elif kind == "revoke" and len(world.active_clients) > 1:
            self._run(world.revoke, one)
        elif kind in {"join", "leave"}:
            self._run(getattr(world, kind), one, other)
        elif kind == "disconnect":
            self._run(world.disconnect, one)
        elif kind == "flush":
            self._run(world.flush)
        elif kind == "compare":
            self._run(world.equals_the_model)
        else:
            self._run(world.transition, one, other)

    def teardown(self) -> None:
        """Compare once more, and close every client."""
        try:
            self._run(self._world.equals_the_model)
        finally:
            self._run(self._world.end)
            self._counts[DELIVERIES] += self._world.delivered_count
