"""Whether a flag is open, as a fold over what opened and cleared it: the order of arrival does not matter. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FlagEntry:
    """The flag was opened or cleared at a time, by an observation or by a person; `reason` says why."""

    at: datetime
    opens: bool
    reason: str = ""


def fold_flag(entries: Iterable[FlagEntry]) -> FlagEntry | None:
    """Return the entry that opened the flag where it is open, else None. At the same time clearing wins."""
    opened: FlagEntry | None = None
    for entry in sorted(entries, key=lambda each: (each.at, not each.opens, each.reason)):
        if not entry.opens:
            opened = None
        elif opened is None:
            opened = entry
    return opened
