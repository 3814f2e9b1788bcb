"""What a benchmark has reached, beside what it is to reach: ratios of one run wherever there is a peer."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Goal:
    """One line; `value` None where it was not measured in this run."""

    what: str
    value: float | None
    way: Literal["at least", "at most"]
    bound: float

    @property
    def met(self) -> bool | None:
        """Whether it is reached, None where that is not known."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.way == "at least" else self.value <= self.bound


def at_least(what: str, value: float | None, bound: float) -> Goal:
    """Hold a value against its lower bound."""
    return Goal(what, value, "at least", bound)


def at_most(what: str, value: float | None, bound: float) -> Goal:
    """Hold a value against its upper bound."""
    return Goal(what, value, "at most", bound)


def report(goals: Sequence[Goal]) -> list[dict[str, Any]]:
    """Show them to people on standard error, and return them for the JSON line."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    for goal in goals:
        value = "–" if goal.value is None else f"{goal.value:g}"
        sys.stderr.write(f"{words[goal.met]:>12}  {goal.what}: {value} ({goal.way} {goal.bound:g})\n")
    return [asdict(goal) | {"met": goal.met} for goal in goals]
