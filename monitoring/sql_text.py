"""SQL without its values, as reports and traces may show it."""

import re
from typing import Final

MAX_LENGTH: Final = 4000
# What stands for a value: a placeholder of the driver, a number, a string, a dollar-quoted string.
_LITERALS: Final = re.compile(
    r"%s|%\(\w+\)s|'(?:[^']|'')*'|\$\$.*?\$\$|(?<![\w.\"$])\d+(?:\.\d+)?(?![\w\"])", re.DOTALL
)
_COMMENTS: Final = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
# `IN (?, ?)` becomes `IN (?)`; other lists stay, since the number of a function's arguments and of a row's columns
# is part of the statement, which EXPLAIN has to understand.
_LISTS: Final = re.compile(r"\b(IN\s*)\(\s*\?(?:\s*,\s*\?)+\s*\)", re.IGNORECASE)
# Equal rows, one after the other: `(?, now()), (?, now())`.
_ROWS: Final = re.compile(r"(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))(?:\s*,\s*\1)+")


def normalise_sql(sql: str) -> str:
    """Return the statement on one line with `?` in place of every value, one for each list and one row for many."""
    stripped = " ".join(_LITERALS.sub("?", _COMMENTS.sub(" ", sql)).split())
    return _ROWS.sub(r"\1", _LISTS.sub(r"\1(?)", stripped))[:MAX_LENGTH]
