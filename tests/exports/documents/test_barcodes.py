"""The barcodes of documents, read back from the drawn page as a scanner would."""

from typing import Any

import pytest
import segno
from barcode.charsets import code128

from exports.documents import shipment_documents
from exports.pdf import barcodes
from shipments.auth.subjects import Subject
from tests import factories
from tests.exports import pdf_reader
from tests.exports.export_client import fetch_file, token

pytestmark = pytest.mark.usefixtures("committed")
_PIXELS_PER_POINT = 8
_PIXELS_PER_MM = _PIXELS_PER_POINT * 72 / 25.4
# Where the codes of the reference are, as parts of the page: left, top, right, bottom.
BARS = {"label": (0.04, 0.63, 0.96, 0.65), "bol": (0.5, 0.073, 0.99, 0.077)}
QR = {"label": (0.71, 0.56, 0.96, 0.715), "bol": (0.8, 0.05, 0.99, 0.14)}
LONG = ["L" * 64, "1" * 63 + "A", "a-Long.Reference_2026" * 3 + "x", "7" * 64]


def cropped(content: bytes, box: tuple[float, float, float, float]) -> Any:
    """Return a part of the first page, black and white."""
    page = pdf_reader.render_page(content, scale=_PIXELS_PER_POINT).convert("L")
    edges = tuple(int(part * size) for part, size in zip(box, page.size * 2, strict=True))
    return page.crop(edges).point(lambda level: 255 if level < 128 else 0)


def stripes(content: bytes, box: tuple[float, float, float, float]) -> list[int]:
    """Return the widths in pixels of the light and dark stripes across a box."""
    part = cropped(content, box)
    row = [part.getpixel((x, part.height // 2)) for x in range(part.width)]
    widths: list[int] = []
    before = None
    for level in row:
        if level == before:
            widths[-1] += 1
        else:
            widths.append(1)
        before = level
    return widths


def read_code128(widths: list[int], modules: int) -> tuple[str, float]:
    """Return the text of a Code 128 and the width of its modules in millimetres; asserts its quiet zones.

    ISO/IEC 15417. FNC1 is written as `{FNC1}`.
    """
    left, *bars, right = widths
    module = sum(bars) / modules
    assert min(left, right) >= 10 * module - 1
    return _decode([round(width / module) for width in bars]), module / _PIXELS_PER_MM


def _decode(widths: list[int]) -> str:
    patterns = {}
    for value, bars in enumerate(code128.CODES):
        patterns[tuple(len(run) for run in bars.replace("01", "0 1").replace("10", "1 0").split())] = value
    start, *values, check = [patterns[tuple(widths[at : at + 6])] for at in range(0, len(widths) - 7, 6)]
    assert check == (start + sum(place * value for place, value in enumerate(values, 1))) % 103
    charset, text = {104: "B", 105: "C"}[start], ""
    for value in values:
        if value == 102:
            text += "{FNC1}"
        elif (charset, value) in {("C", 100), ("B", 99)}:
            charset = "B" if value == 100 else "C"
        else:
            text += f"{value:02d}" if charset == "C" else chr(value + 32)
    return text


def read_qr(content: bytes, box: tuple[float, float, float, float], modules: int) -> tuple[list[list[bool]], float]:
    """Return the modules of the QR code in a box, and their width in millimetres."""
    code = cropped(content, box)
    left, top, right, bottom = code.getbbox()
    width = (right - left) / modules
    assert right - left == pytest.approx(bottom - top, abs=2)
    centres = [(place + 0.5) * width for place in range(modules)]
    rows = [[code.getpixel((int(left + x), int(top + y))) == 255 for x in centres] for y in centres]
    return rows, width / _PIXELS_PER_MM


def document(by: Subject, kind: str, reference: str) -> bytes:
    headers = {"Authorization": f"Bearer {token(by, scopes=('shipments:read',))}"}
    return fetch_file(None, path=f"/api/shipments/{reference}/documents/{kind}.pdf", headers=headers).body


def test_the_barcode_on_the_label_decodes_to_the_sscc(dispatcher: Subject) -> None:
    code = shipment_documents.sscc(factories.booked_shipment(dispatcher, reference="SHIP-1").pk)

    widths = stripes(document(dispatcher, "label", "SHIP-1"), (0.04, 0.82, 0.96, 0.90))

    text, module = read_code128(widths, barcodes.gs1_128(f"00{code}").width - 20)
    assert text == f"{{FNC1}}00{code}"
    assert 0.25 <= module <= 1.016  # GS1 General Specifications: an X-dimension of logistic labels


@pytest.mark.parametrize("kind", ["label", "bol"])
@pytest.mark.parametrize("reference", ["SHIP-1", "A", "acme.2026-00017_b", "12345678901234567890"])
def test_the_bars_of_a_reference_decode_and_are_wide_enough(dispatcher: Subject, kind: str, reference: str) -> None:
    factories.booked_shipment(dispatcher, reference=reference)

    widths = stripes(document(dispatcher, kind, reference), BARS[kind])

    text, module = read_code128(widths, barcodes.code_128(reference).width - 20)
    assert text == reference
    assert module >= 0.249


@pytest.mark.parametrize("kind", ["label", "bol"])
@pytest.mark.parametrize("reference", LONG)
def test_a_long_reference_has_a_qr_code_that_scanners_read(dispatcher: Subject, kind: str, reference: str) -> None:
    factories.booked_shipment(dispatcher, reference=reference)
    expected = [[bool(module) for module in row] for row in segno.make_qr(reference, error="m").matrix]

    content = document(dispatcher, kind, reference)

    drawn, module = read_qr(content, QR[kind], len(expected))
    assert drawn == expected
    assert module >= 0.4
    assert reference in pdf_reader.text(content).replace(" ", "")
    assert len(pdf_reader.pages(content)) == 1


@pytest.mark.parametrize("width", range(20, 800, 13))
def test_bars_are_drawn_in_whole_dots_or_not_at_all(width: int) -> None:
    code = barcodes.Barcode(width, 1, "")

    drawn = barcodes.printed_width(code, available=88.9)

    if drawn is None:
        assert 88.9 / width < 0.25
    else:
        assert drawn <= 88.9
        assert drawn / width >= 0.25
        assert (drawn / width / 0.125) % 1 == pytest.approx(0)
