"""Why a file of rows is refused."""


class Unreadable(Exception):
    """The file is refused; `reason` is a text for the sender.

    The names of the subclasses become error codes of the API (`empty`, `not_text`, `too_much`, `broken`).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Empty(Unreadable):
    """It has no rows below the header."""


class NotText(Unreadable):
    """It is neither UTF-8 nor a workbook."""


class TooMuch(Unreadable):
    """It has more rows, columns or characters than the limits."""


class Broken(Unreadable):
    """It is truncated or not valid in its format."""
