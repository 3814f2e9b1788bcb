"""Versions of a shipment, as an ETag names them: `<seq>.<mark><hash of what else is shown>`.

A restored database gives a `seq` again to another change, so that the number alone would let a client of the former
history overwrite it. The mark is of the very change: no two have the same one.
"""

import hashlib
import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

_MARK_BYTES: Final = 4
_TAG: Final = re.compile(rf"(\d{{1,18}})(?:\.(?:([0-9a-f]{{{2 * _MARK_BYTES}}})[0-9a-f]*|.*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a shipment; `mark` is None where a caller knows no more than the number."""

    seq: int
    mark: str | None = None

    @classmethod
    def of(cls, shipment_id: uuid.UUID, seq: int, updated_at: datetime) -> Self:
        """Return the version of a row: the change that gave it this `seq` was made at `updated_at`."""
        text = f"{shipment_id} {updated_at.timestamp():.6f}"
        return cls(seq, hashlib.blake2b(text.encode(), digest_size=_MARK_BYTES).hexdigest())

    @classmethod
    def parse(cls, tag: str) -> Self | None:
        """Return the version that an ETag names, quotes left out; None where it begins with no number.

        Of a tag that is none of ours, such as `4.x` or `4`, the number counts alone.
        """
        match = _TAG.fullmatch(tag)
        return match and cls(int(match[1]), match[2])

    @property
    def tag(self) -> str:
        """What `parse` reads again, to be followed by more hexadecimal digits."""
        return f"{self.seq}.{self.mark}" if self.mark else str(self.seq)

    def is_met_by(self, current: "Version") -> bool:
        """Tell whether what the caller expects is the current version."""
        return self.seq == current.seq and self.mark in {None, current.mark}
