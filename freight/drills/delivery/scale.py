"""How much of each fault: a short form for the tests, a long one for the drill."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """The numbers of the rows."""

    kills: int = 5
    relay_kills: int = 5
    failpoints: int = 5
    restarts: int = 2
    crossings: int = 3
    unknowns: int = 10
    down_seconds: float = 5.0
    freeze_seconds: float = 4.0
    # Longer than anybody may wait for an answer.
    database_freeze_seconds: float = 6.0
    trouble_seconds: float = 5.0


SHORT = Scale()
LONG = Scale(
    relay_kills=50,
    failpoints=100,
    restarts=5,
    crossings=20,
    unknowns=200,
    down_seconds=60.0,
    freeze_seconds=30.0,
    database_freeze_seconds=20.0,
    trouble_seconds=30.0,
)
