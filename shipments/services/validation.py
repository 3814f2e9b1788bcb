"""What every service refuses in the same way: an argument that cannot be used, and a time ahead of our clock."""

from datetime import datetime, timedelta
from typing import Final

from shipments import representation

# How far a clock in the field may run ahead of ours.
CLOCK_SKEW: Final = timedelta(minutes=5)


class InvalidArgument(Exception):
    """A value cannot be used; `field` names it as the API does."""

    def __init__(self, field: str, message: str, code: str = "invalid") -> None:
        super().__init__(message)
        self.field = field
        self.code = code


def refuse_future(field: str, at: datetime, *, now: datetime, reason: str) -> None:
    """Raise InvalidArgument for a time further ahead than CLOCK_SKEW; the message says what time it is here."""
    if at > now + CLOCK_SKEW:
        raise InvalidArgument(field, f"{reason}: it is {representation.instant(now)} here.", code="future")
