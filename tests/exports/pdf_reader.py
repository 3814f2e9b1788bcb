"""Read a PDF: its pages as text and as pictures, and its fonts."""

import io
from typing import Any

import pikepdf
import pypdfium2

# A font of type 3 is drawn in the PDF itself and has no font file.
_FONT_FILE_SUBTYPES = ("/CIDFontType0", "/CIDFontType2", "/TrueType", "/Type1")


def pages(content: bytes) -> list[str]:
    """Return the text of each page, without the break marks within words."""
    document = pypdfium2.PdfDocument(content)
    try:
        texts = []
        for page in document:
            text = page.get_textpage()
            # The reader reports a hyphen at the end of a line as U+FFFE.
            texts.append(text.get_text_range().replace("\r\n", "\n").replace("\u200b", "").replace("\ufffe", "-"))
            text.close()
            page.close()
        return texts
    finally:
        document.close()


def text(content: bytes) -> str:
    """Return the text of all pages in one line."""
    return " ".join(" ".join(pages(content)).split())


def open_pdf(content: bytes) -> Any:
    """Open the file to inspect its objects."""
    return pikepdf.open(io.BytesIO(content))


def render_page(content: bytes, *, page: int = 0, scale: float = 2.0) -> Any:
    """Render one page as a picture."""
    document = pypdfium2.PdfDocument(content)
    try:
        return document[page].render(scale=scale).to_pil()
    finally:
        document.close()


def pixels(content: bytes) -> list[tuple[int, int, int]]:
    """Return the colours of all pixels of the first page."""
    raw = render_page(content).convert("RGB").tobytes()
    return list(zip(raw[::3], raw[1::3], raw[2::3], strict=True))


def fonts(content: bytes) -> set[tuple[str, bool]]:
    """Return the fonts of the pages, and whether each is embedded."""
    embedded_fonts = set()
    with open_pdf(content) as pdf:
        for each in pdf.objects:
            if isinstance(each, pikepdf.Dictionary) and each.get("/Subtype") in _FONT_FILE_SUBTYPES:
                descriptor: Any = each.get("/FontDescriptor", {})
                embedded = any(name in descriptor for name in ("/FontFile", "/FontFile2", "/FontFile3"))
                embedded_fonts.add((str(each.BaseFont).partition("+")[2] or str(each.BaseFont), embedded))
    return embedded_fonts
