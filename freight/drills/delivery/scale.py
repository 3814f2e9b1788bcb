"""How much of each fault: a short form for the tests, a long one for the drill."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """The numbers of the rows."""

    kills: int = 5
    down_seconds: float = 5.0
    freeze_seconds: float = 5.0
    trouble_seconds: float = 5.0


SHORT = Scale()
LONG = Scale(kills=5, down_seconds=60.0, freeze_seconds=30.0, trouble_seconds=30.0)
