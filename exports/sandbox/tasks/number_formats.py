"""Number formats of a workbook (ECMA-376, 18.8.30): what a sheet shows of a number that a text is wanted of."""

import re
from collections.abc import Mapping
from typing import Final

# Those that every workbook has, as far as they are not dates, which the parser tells by itself.
BUILT_IN: Final[Mapping[int, str]] = {
    0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?",
    13: "# ??/??", 37: "#,##0 ;(#,##0)", 38: "#,##0 ;[Red](#,##0)", 39: "#,##0.00;(#,##0.00)",
    40: "#,##0.00;[Red](#,##0.00)", 48: "##0.0E+0", 49: "@",
}  # fmt: skip
# A quoted or escaped literal, the width of a character, a character that fills the cell, a colour or condition.
_TOKEN: Final = re.compile(r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_.|\*.|\[[^\]]*\]|(?P<other>.)', re.DOTALL)
_SCIENTIFIC: Final = re.compile(r'^(?:"[^"]*"|\\.|[^"\\])*?E[+-]', re.IGNORECASE | re.DOTALL)
_PLACEHOLDERS: Final = "0#?"
_LITERALS: Final = "$-+():!^&'~{}<>= "
# What changes no digit: decimals, groups of thousands, signs, colours; not more than one 0 before the point.
_IGNORED: Final = re.compile(r"_.|\*.|\[(?:[A-Za-z]+|Color ?\d+)\]|\\(?=[-+() ])", re.DOTALL)
_PLAIN: Final = re.compile(r"[-+( ]*(?:General|@|[#?,]*[#?0](?:\.[#?0]+)?)[-+) ]*", re.IGNORECASE)


def is_plain(code: str) -> bool:
    """Tell whether the format leaves a whole number its digits, and adds none but decimals."""
    section = _IGNORED.sub("", code).split(";")[0]
    return not section or _PLAIN.fullmatch(section) is not None


def is_scientific(code: str) -> bool:
    """Tell whether the format shortens numbers to a power of ten."""
    return _SCIENTIFIC.match(code) is not None


def render(digits: str, code: str) -> str | None:
    """Return what a format of digits and literals, such as `00000`, shows of a whole number.

    None for a format with decimals, separators or conditions.
    """
    parts = _parts(code)
    if parts is None:
        return None
    places = [index for index, (is_place, _) in enumerate(parts) if is_place]
    if not places:
        return None
    shown, rest = [text for _, text in parts], digits.lstrip("0")
    for index in reversed(places):
        if index == places[0] and rest:
            shown[index] = rest
        else:
            shown[index] = rest[-1:] or {"0": "0", "#": "", "?": " "}[shown[index]]
        rest = rest[:-1]
    return "".join(shown).strip()


def _parts(code: str) -> list[tuple[bool, str]] | None:
    """Return the places for digits (True) and the literals (False) of the section for positive numbers."""
    parts: list[tuple[bool, str]] = []
    for token in _TOKEN.finditer(code):
        if token[0].startswith("[") and any(sign in token[0] for sign in "<>="):
            return None
        literal = token["quoted"] if token["quoted"] is not None else token["escaped"]
        other = token["other"]
        if literal is not None:
            parts.append((False, literal))
        elif other == ";":
            break
        elif other is not None:
            if other not in _PLACEHOLDERS and other not in _LITERALS:
                return None
            parts.append((other in _PLACEHOLDERS, other))
    return parts
