"""Texts that a spreadsheet would take for formulas: escaped in the SQL of a cell, restored when a file is imported.

A spreadsheet splits a file at the separator of its locale, whatever we separate by, and pays no heed to quotes
inside a cell. So one apostrophe is added before a formula at the start of a text and after each separator in it.
Where apostrophes stand there already, one is added all the same: removing one always restores the original.
"""

import re
from typing import Final

# Both PostgreSQL and Python read these classes. Separators other than a comma, which COPY quotes, and line breaks:
_SEPARATORS: Final = r"[;\t\r\n]"
# What a spreadsheet may skip: blanks, invisible characters, control characters, and quotes after a separator.
_SKIPPED: Final = (
    r'[\u0001-\u0008\v\f\u000e-\u0020"\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180e'
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]*"
)
# Also in their full-width, small, raised and lowered forms, which some programs convert. The hyphen ends a class.
_SIGNS: Final = r"=+@\u207a-\u207c\u208a-\u208c\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20-"
_AT_START: Final = rf"{_SKIPPED}[\t\r\n{_SIGNS}]"
_IN_TEXT: Final = rf"{_SKIPPED}[{_SIGNS}]"
_UNSAFE: Final = rf"^(?='*{_AT_START})|(?<={_SEPARATORS})(?='*{_IN_TEXT})"
_ESCAPED: Final = re.compile(rf"^'(?='*{_AT_START})|(?<={_SEPARATORS})'(?='*{_IN_TEXT})")
# Where `unescape` would remove an apostrophe of the text's own, in a format that needs no escaping.
AMBIGUOUS_PATTERN: Final = rf"^(?='+{_AT_START})|(?<={_SEPARATORS})(?='+{_IN_TEXT})"
_SQL_PATTERN: Final = _UNSAFE.replace("'", "''")
# Most texts begin with a letter or digit (or [ \ ] ^ _ ` {), hold no separator, and need no regular expression.
_HARMLESS: Final = (
    "(ascii({0}) BETWEEN 65 AND 123 OR ascii({0}) BETWEEN 48 AND 57)"
    " AND strpos({0}, ';') = 0 AND strpos({0}, chr(9)) = 0"
    " AND strpos({0}, chr(10)) = 0 AND strpos({0}, chr(13)) = 0"
)


def escape_sql(expression: str) -> str:
    """Return the SQL of an expression of the type text, escaped."""
    harmless = _HARMLESS.replace("{0}", expression)
    escaped = f"regexp_replace({expression}, '{_SQL_PATTERN}', '''', 'g')"
    return f"CASE WHEN {harmless} THEN {expression} ELSE {escaped} END"


def escape_document_sql(expression: str) -> str:
    """Return the same of an expression that costs much: it is evaluated once."""
    escaped = escape_sql("document.cell")
    return f"(SELECT {escaped} FROM (SELECT {expression} AS cell OFFSET 0) AS document)"  # noqa: S608  a cell's SQL


def unescape(cell: str) -> str:
    """Return the text that an export wrote as this cell."""
    return _ESCAPED.sub("", cell) if "'" in cell else cell
