"""The state machine that chooses what happens: hypothesis, on a stage of real processes."""

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

from freight.drills.delivery.interleaving import World
from freight.drills.delivery.stage import Stage

_MOST_GUESTS: Final = 5
_MOST_SHIPMENTS: Final = 3  # that may still move
# A new process takes as long as many other steps.
_STEPS_BETWEEN_KILLS: Final = 10
DELIVERIES: Final = "deliveries"
# What comes first is what hypothesis holds to be simplest.
_KINDS: Final = (
    "flush", "create", "arrive", "revoke", "leave", "kill", *["disconnect"] * 2, *["compare"] * 3, *["join"] * 4,
    *["transition"] * 10,
)  # fmt: skip
_NUMBER: Final = st.integers(0, 59)


def play(stage: Stage, loop: asyncio.AbstractEventLoop, *, steps: int, runs: int, number: int) -> Counter[str]:
    """This will run the machine in this thread, its acts on the loop of another, and count steps and deliveries.

    Its first run is always of the simplest steps alone. Raises Differs, and prints the steps that led to it. It
    looks for no smaller example: each takes real time.
    """
    told: Counter[str] = Counter()

    class Machine(Interleaving):
        def __init__(self) -> None:
            super().__init__(stage, loop, f"{number}/{told.total()}", told)

    seed(number)(Machine)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=runs, stateful_step_count=steps, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck), print_blob=False,
        ),
    )  # fmt: skip
    return told


class Interleaving(RuleBasedStateMachine):
    """Create, transition, join, leave, disconnect, kill, flush, revoke, in any order."""

    def __init__(self, stage: Stage, loop: asyncio.AbstractEventLoop, name: str, told: Counter[str]) -> None:
        super().__init__()
        self._loop, self._told = loop, told
        self._world = World(stage, name)
        self._calm_steps = 0

    def _do(self, act: Callable[..., Coroutine[Any, Any, None]], *chosen: int) -> None:
        self._told[act.__name__] += 1
        self._calm_steps += 1
        asyncio.run_coroutine_threadsafe(act(*chosen), self._loop).result()

    @initialize()
    def begin(self) -> None:
        self._do(self._world.begin)
        self._do(self._world.create)
        for _ in range(2):
            self._do(self._world.arrive)

    # One rule for all acts: of many, hypothesis leaves most out of a run to find small examples.
    @rule(kind=st.sampled_from(_KINDS), one=_NUMBER, other=_NUMBER)
    def act(self, kind: str, one: int, other: int) -> None:
        world = self._world
        if not world.moving or (kind == "create" and len(world.moving) < _MOST_SHIPMENTS):
            self._do(world.create)
        elif kind == "arrive" and len(world.present) < _MOST_GUESTS:
            self._do(world.arrive)
        elif kind == "kill" and self._calm_steps >= _STEPS_BETWEEN_KILLS:
            self._do(world.kill, one)
            self._calm_steps = 0
        elif kind == "revoke" and len(world.present) > 1:
            self._do(world.revoke, one)
        elif kind in {"join", "leave"}:
            self._do(getattr(world, kind), one, other)
        elif kind == "disconnect":
            self._do(world.disconnect, one)
        elif kind == "flush":
            self._do(world.flush)
        elif kind == "compare":
            self._do(world.equals_the_model)
        else:
            self._do(world.transition, one, other)

    def teardown(self) -> None:
        """This will compare once more, and have everybody go."""
        try:
            self._do(self._world.equals_the_model)
        finally:
            self._do(self._world.end)
            self._told[DELIVERIES] += self._world.deliveries
