"""What a carrier's code means here."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a code: a state, a flag that it opens or clears, or only an estimate (which moves the ETA).

    `text` is what the code says, in the words of its list. `state_elsewhere` is the state where the place is known
    to be another than the destination. `is_arrival`: as an estimate at the destination it is the delivery's.
    `is_appointment`: the time may be that of an appointment, which moves nothing before it is due.
    `delivered_after`: the code that must have been observed at the destination before; then this one says that the
    freight was delivered, and otherwise nothing about it.
    """

    text: str = ""
    state: str | None = None
    state_elsewhere: str | None = None
    opens_flag: str | None = None
    clears_flag: str | None = None
    is_estimate: bool = False
    is_arrival: bool = False
    is_appointment: bool = False
    delivered_after: str | None = None

    @property
    def may_lie_ahead(self) -> bool:
        """Whether the time may lie in the future, also where the sender calls it actual."""
        return self.is_estimate or self.is_appointment


def states(table: Mapping[str, Mapping[str, str]]) -> dict[str, Meaning]:
    """Return the meanings of codes that only name a state: `{state: {code: text}}`."""
    return {code: Meaning(text, state=state) for state, codes in table.items() for code, text in codes.items()}
