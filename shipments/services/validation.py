"""What every service refuses in the same way: an argument that cannot be used, and a time ahead of our clock."""

from datetime import timedelta
from typing import Final

# How far a clock in the field may run ahead of ours.
CLOCK_SKEW: Final = timedelta(minutes=5)


class InvalidArgument(Exception):
    """A value cannot be used; `field` names it as the API does."""

    def __init__(self, field: str, message: str, code: str = "invalid") -> None:
        super().__init__(message)
        self.field = field
        self.code = code
