"""SQL without its values, as reports and traces may show it."""

import re
from typing import Final

_MAX_LENGTH: Final = 4000
# What stands for a value: a placeholder of the driver, a number, a string, a dollar-quoted string.
_LITERALS: Final = re.compile(
    r"%s|%\(\w+\)s|'(?:[^']|'')*'|\$\$.*?\$\$|(?<![\w.\"$])\d+(?:\.\d+)?(?![\w\"])", re.DOTALL
)
_COMMENTS: Final = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_LISTS: Final = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_ROWS: Final = re.compile(r"(\(\?\))(?:\s*,\s*\(\?\))+")


def normalise_sql(sql: str) -> str:
    """Return the statement on one line with `?` in place of every value and list of values."""
    stripped = " ".join(_LITERALS.sub("?", _COMMENTS.sub(" ", sql)).split())
    return _ROWS.sub(r"\1", _LISTS.sub("(?)", stripped))[:_MAX_LENGTH]
