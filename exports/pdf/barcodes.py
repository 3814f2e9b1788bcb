"""Codes that machines read: Code 128, QR, and the number of a logistic unit (SSCC)."""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Final

import segno
from barcode import get_barcode_class

# GS1 General Specifications, GS1 prefixes: 04 issues restricted circulation numbers within a company. No licensed
# prefix is ours to use; a number that means something to others needs one's own (`GS1_COMPANY_PREFIX`).
DEMO_PREFIX: Final = "04"
# The narrowest bar that common scanners read from a thermal print (7.5 mil).
MIN_MODULE_MM: Final = 0.19
_QUIET_MODULES: Final = 10


@dataclass(frozen=True, slots=True)
class Barcode:
    """A code as one path of squares: `width` by `height` modules, quiet zones included."""

    width: int
    height: int
    path: str


def sscc(prefix: str, serial: int) -> str:
    """Return a Serial Shipping Container Code: 18 digits.

    Extension digit, company prefix and serial reference, check digit (GS1 General Specifications, application
    identifier 00). Extension digit and serial reference count together; they begin anew when they are used up.
    """
    length = 17 - len(prefix)
    digits = f"{serial % 10**length:0{length}d}"
    body = digits[0] + prefix + digits[1:]
    return body + check_digit(body)


def demo_sscc(shipment_id: uuid.UUID) -> str:
    """Return a code under the demo prefix, always the same one for a shipment: its serial is a hash.

    Of 2,000 organisations with a million shipments each, one has two with the same number.
    """
    return sscc(DEMO_PREFIX, int.from_bytes(hashlib.blake2b(shipment_id.bytes, digest_size=8).digest()))


def check_digit(digits: str) -> str:
    """Return the digit that makes the weighted sum a multiple of ten: weights 3, 1, 3 … from the right.

    GS1 General Specifications, standard check digit calculations.
    """
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def code_128(text: str) -> Barcode:
    """Return the bars of a text of ASCII."""
    return _linear_barcode(get_barcode_class("code128")(text).build()[0])


def gs1_128(element: str) -> Barcode:
    """Return the bars of an element string such as `00` and an SSCC: Code 128 that begins with FNC1."""
    return _linear_barcode(get_barcode_class("gs1_128")(element).build()[0])


def qr(text: str) -> Barcode:
    """Return a QR code with error correction M, its quiet zone around it."""
    code = segno.make_qr(text, error="m")
    rows = [list(row) for row in code.matrix_iter(border=4)]
    squares = [f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark]
    return Barcode(len(rows[0]), len(rows), "".join(squares))


def fits(code: Barcode, *, millimetres: float) -> bool:
    """Tell whether the bars can be read when the code is drawn so wide."""
    return millimetres / code.width >= MIN_MODULE_MM


def _linear_barcode(modules: str) -> Barcode:
    path, start = [], None
    for x, module in enumerate(f"{modules}0"):
        if module == "1" and start is None:
            start = x
        elif module == "0" and start is not None:
            path.append(f"M{start + _QUIET_MODULES} 0h{x - start}v1h-{x - start}z")
            start = None
    return Barcode(len(modules) + 2 * _QUIET_MODULES, 1, "".join(path))
