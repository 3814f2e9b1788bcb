"""In the renderer: reports of many pages by typst, part by part, and the parts joined (docs/decisions/0020)."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import font_source_sans_pro
import pikepdf
import typst

_TEMPLATES: Final = Path(__file__).resolve().parents[2] / "templates" / "exports"
_FONT_PATHS: Final = [font_source_sans_pro.font_directory]
# Where `#import` would look for packages; none of our templates has one.
_NO_PACKAGES: Final = "/nonexistent"


def render_part(head: dict[str, Any], _: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """Set a part of a report, `head["context"]`: whole and tagged where it is `numbered`.

    Of a part that others follow (`head["goesOn"]`) the last page is left away unless it is the only one: it may be
    part empty. `rows` of the answer tells how many rows stand on the others, `pages` how many there are.
    """
    is_single_part = head["context"]["numbered"]
    compiler = _compiler("report.typ", told=json.dumps(head["context"]))
    content = cast("bytes", compiler.compile(pdf_tags=is_single_part))
    [end] = json.loads(compiler.query("<end>", field="value"))
    row_count, pages = len(head["context"]["rows"]), end["pages"]
    with pikepdf.open(io.BytesIO(content)) as pdf:
        if head["goesOn"] and pages > 1:
            del pdf.pages[-1]
            row_count, pages = end["cut"], pages - 1
        return _save(pdf), {"pages": pages, "rows": row_count}


def join_parts(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """Join the parts and number their pages."""
    with pikepdf.new() as whole:
        for piece in pieces:
            with pikepdf.open(io.BytesIO(piece)) as part:
                whole.pages.extend(part.pages)
        pages = len(whole.pages)
        numbers = cast("bytes", _compiler("numbers.typ", pages=str(pages)).compile(pdf_tags=False))
        with pikepdf.open(io.BytesIO(numbers)) as footers:
            for page, footer in zip(whole.pages, footers.pages, strict=True):
                page.add_overlay(footer, None)
            whole.docinfo["/Title"] = head["title"]
            whole.docinfo["/Author"] = head["organisation"]
            return _save(whole), {"pages": pages}


def _compiler(template: str, **inputs: str) -> typst.Compiler:
    return typst.Compiler(
        str(_TEMPLATES / template),
        root=str(_TEMPLATES),
        font_paths=_FONT_PATHS,
        sys_inputs=inputs,
        package_path=_NO_PACKAGES,
        package_cache_path=_NO_PACKAGES,
    )


def _save(pdf: pikepdf.Pdf) -> bytes:
    target = io.BytesIO()
    pdf.save(target, object_stream_mode=pikepdf.ObjectStreamMode.generate, deterministic_id=True)
    return target.getvalue()
