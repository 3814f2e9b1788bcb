"""What every service refuses in the same way: an argument that cannot be used, and a time that cannot be."""

from datetime import datetime, timedelta
from typing import Final

from shipments import representation
from shipments.domain import status_fold

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


def refuse_no_time(field: str, at: datetime, *, booked_at: datetime) -> None:
    """Raise InvalidArgument for a time so long before the booking that it is none, such as 1970."""
    if status_fold.is_before_any_booking(at, booked_at):
        message = f"This is more than {status_fold.MAX_BEFORE_BOOKING.days} days before the booking."
        raise InvalidArgument(field, f"{message} Leave it out where the time is not known.", code="too_early")
