"""Environment variables that look like ours and are none: a mistyped name changes nothing and nobody knows."""

import difflib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

# No other program has variables that begin like this.
_PREFIXES: Final = ("FREIGHT_", "JWT_ACCESS_", "JWT_REFRESH_", "RATE_LIMIT_")
# Names of other programs that are like ours, and those that our own processes give to each other.
_OTHERS: Final = frozenset({"HOSTNAME", "FREIGHT_PICTURES", "FREIGHT_ROLE"})
# One wrong, missing or doubled letter, or a missing underscore, in a name of eight.
_SIMILARITY: Final = 0.85
_SHORTEST: Final = 5


@dataclass(frozen=True)
class Misspelling:
    """A variable that nothing reads; `nearest` is the name that was probably meant, empty where none is like it."""

    name: str
    nearest: str

    def __str__(self) -> str:
        meant = f": is {self.nearest} meant?" if self.nearest else ", and no name is like it."
        return f"Nothing reads the variable {self.name}{meant} (docs/settings.md)"


def find(present: Iterable[str], known: Collection[str]) -> Iterator[Misspelling]:
    """Yield the variables that begin like ours or are nearly one of ours, in alphabetical order."""
    for name in sorted(set(present) - set(known) - _OTHERS):
        if len(name) < _SHORTEST:
            continue
        is_prefixed = name.startswith(_PREFIXES)
        # A name that begins like ours is one of ours, however far from it.
        similarity = 0.6 if is_prefixed else _SIMILARITY
        nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=similarity)
        if is_prefixed or nearest:
            yield Misspelling(name, nearest[0] if nearest else "")
