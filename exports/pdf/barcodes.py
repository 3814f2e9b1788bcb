"""Barcodes: Code 128, GS1-128, QR, and the Serial Shipping Container Code (SSCC)."""

import hashlib
import math
import uuid
from dataclasses import dataclass
from typing import Final

import segno
from barcode import get_barcode_class

# GS1 General Specifications, GS1 prefixes: 04 is for restricted circulation numbers within a company. A number that
# is valid between companies needs a licensed prefix (`GS1_COMPANY_PREFIX`).
DEMO_PREFIX: Final = "04"
# The narrowest bar that common scanners read from a thermal or office print (10 mil).
MIN_MODULE_MM: Final = 0.25
# Label printers have 203 dots an inch, 8 a millimetre: a module of a whole number of dots is as wide as the next.
_DOT_MM: Final = 0.125
_QUIET_MODULES: Final = 10


@dataclass(frozen=True, slots=True)
class Barcode:
    """A barcode as one SVG path in units of modules: `width` by `height`, quiet zones included."""

    width: int
    height: int
    path: str


def sscc(prefix: str, serial: int) -> str:
    """Return a Serial Shipping Container Code: 18 digits.

    Extension digit, company prefix and serial reference, check digit (GS1 General Specifications, application
    identifier 00). Extension digit and serial reference are one counter, which wraps around when it is used up.
    """
    length = 17 - len(prefix)
    digits = f"{serial % 10**length:0{length}d}"
    body = digits[0] + prefix + digits[1:]
    return body + check_digit(body)


def demo_sscc(shipment_id: uuid.UUID) -> str:
    """Return the SSCC of a shipment under the demo prefix; its serial is a hash of the shipment's id.

    Collisions are rare: about one organisation in 2,000 with a million shipments each has two equal numbers.
    """
    return sscc(DEMO_PREFIX, int.from_bytes(hashlib.blake2b(shipment_id.bytes, digest_size=8).digest()))


def check_digit(digits: str) -> str:
    """Return the digit that makes the weighted sum a multiple of ten: weights 3, 1, 3 … from the right.

    GS1 General Specifications, standard check digit calculations.
    """
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def code_128(text: str) -> Barcode:
    """Return an ASCII text as Code 128 (ISO/IEC 15417)."""
    return _linear_barcode(get_barcode_class("code128")(text).build()[0])


def gs1_128(element: str) -> Barcode:
    """Return a GS1 element string, such as `00` and an SSCC, as GS1-128: Code 128 that begins with FNC1."""
    return _linear_barcode(get_barcode_class("gs1_128")(element).build()[0])


def qr(text: str) -> Barcode:
    """Return a QR code with error correction level M."""
    code = segno.make_qr(text, error="m")
    rows = [list(row) for row in code.matrix_iter(border=4)]
    squares = [f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark]
    return Barcode(len(rows[0]), len(rows), "".join(squares))


def printed_width(code: Barcode, *, available: float) -> float | None:
    """Return how wide to draw the code, None where its modules would be too narrow for scanners; millimetres."""
    module = math.floor(available / code.width / _DOT_MM) * _DOT_MM
    return module * code.width if module >= MIN_MODULE_MM else None


def _linear_barcode(modules: str) -> Barcode:
    path, start = [], None
    for x, module in enumerate(f"{modules}0"):
        if module == "1" and start is None:
            start = x
        elif module == "0" and start is not None:
            path.append(f"M{start + _QUIET_MODULES} 0h{x - start}v1h-{x - start}z")
            start = None
    return Barcode(len(modules) + 2 * _QUIET_MODULES, 1, "".join(path))
