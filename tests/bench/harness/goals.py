"""The goals of a benchmark: ratios within one run wherever there is a peer."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Goal:
    """One goal; `value` is None where it was not measured in this run."""

    what: str
    value: float | None
    way: Literal["at least", "at most"]
    bound: float

    @property
    def met(self) -> bool | None:
        """Whether it is met, None where it was not measured."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.way == "at least" else self.value <= self.bound


def at_least(what: str, value: float | None, bound: float) -> Goal:
    """Return the goal of a lower bound."""
    return Goal(what, value, "at least", bound)


def at_most(what: str, value: float | None, bound: float) -> Goal:
    """Return the goal of an upper bound."""
    return Goal(what, value, "at most", bound)


def report(goals: Sequence[Goal]) -> list[dict[str, Any]]:
    """Print the goals on standard error, and return them for the JSON line."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    for goal in goals:
        value = "–" if goal.value is None else f"{goal.value:g}"
        sys.stderr.write(f"{words[goal.met]:>12}  {goal.what}: {value} ({goal.way} {goal.bound:g})\n")
    return [asdict(goal) | {"met": goal.met} for goal in goals]
