"""The one form in which names and references are stored and compared: pure, without Django.

Names come decomposed from one system (NFD) and composed from another, with doubled or no-break spaces out of
sheets, and in capitals out of older programs. All of them are the same name.
"""

import unicodedata


def normalize(text: str) -> str:
    """Return the text as it is stored: composed (NFC), white space at the ends removed and else one space each."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def comparison_key(text: str) -> str:
    """Return the text as it is compared: normalized, and without regard to case (German ß is ss)."""
    return unicodedata.normalize("NFC", normalize(text).casefold())
