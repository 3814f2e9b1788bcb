"""Carriers' status codes and their meaning here, as declared tables. An unknown code is never guessed.

One module for each list. docs/carrier-codes.md is made of them (`python -m tests.shipments.domain.carrier_codes`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from shipments.domain.status_codes import aftership, dcsa, easypost, edi214, shippo
from shipments.domain.status_codes.meaning import Meaning

__all__ = [
    "CODES_AFTER_DELIVERY",
    "CODE_SYSTEMS",
    "OUTBOUND_CODES",
    "ROUND_TRIP_STATES",
    "Meaning",
    "meaning_beside_state",
    "translate",
]
CODE_SYSTEMS: Final[Mapping[str, Mapping[str, Meaning]]] = {
    "edi214": edi214.CODES,
    "dcsa": dcsa.CODES,
    "easypost": easypost.CODES,
    "aftership": aftership.CODES,
    "shippo": shippo.CODES,
}
# The one code in which each state is reported to others. The states in ROUND_TRIP_STATES translate back to
# themselves, the others to a coarser state; a state without a code cannot be reported in that system.
OUTBOUND_CODES: Final[Mapping[str, Mapping[str, str]]] = {
    "edi214": edi214.OUTBOUND,
    "dcsa": dcsa.OUTBOUND,
    "easypost": easypost.OUTBOUND,
    "aftership": aftership.OUTBOUND,
    "shippo": shippo.OUTBOUND,
}
ROUND_TRIP_STATES: Final[Mapping[str, frozenset[str]]] = {
    system: frozenset(
        state
        for state, code in codes.items()
        if (meaning := CODE_SYSTEMS[system].get(code)) is not None and meaning.state == state
    )
    for system, codes in OUTBOUND_CODES.items()
}
# The codes that say that the freight was delivered, but only after another one.
CODES_AFTER_DELIVERY: Final = frozenset(
    code for table in CODE_SYSTEMS.values() for code, meaning in table.items() if meaning.delivered_after
)


def translate(system: str, code: str) -> Meaning | None:
    """Return the meaning of a code, None for one that is not in the system's table, or of an unknown system.

    A qualifier that the table does not name (`D1/NS`, an AT7-02 reason) leaves the meaning of the code before it.
    """
    table = CODE_SYSTEMS.get(system, {})
    return next((table[name] for name in _names(system, code) if name in table), None)


def meaning_beside_state(state: str, system: str, code: str) -> Meaning:
    """Return the meaning of a state that is reported as such: its code adds to it only where it says the same."""
    meaning = translate(system, code)
    if meaning is not None and state in {meaning.state, meaning.state_elsewhere}:
        return replace(meaning, state=state, state_elsewhere=None)
    return Meaning(state=state, is_arrival=state == "at_facility")


def _names(system: str, code: str) -> Iterator[str]:
    """Yield the names under which a code may stand in its table, the most exact first."""
    head, _, qualifier = code.partition("/")
    yield code
    if system == "aftership":
        # `Exception/Exception_010`, and a subtag that is not listed: `Exception_099`.
        if qualifier.startswith(f"{head}_"):
            yield qualifier
        yield head.partition("_")[0]
    else:
        yield head
