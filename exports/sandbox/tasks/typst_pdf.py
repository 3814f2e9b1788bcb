"""Renderer tasks `typeset` and `join`: long reports by typst, part by part (docs/decisions/0020)."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import font_source_sans_pro
import pikepdf
import typst

_TEMPLATES: Final = Path(__file__).resolve().parents[3] / "templates" / "documents"
_FONT_PATHS: Final = [font_source_sans_pro.font_directory]
# `#import` finds no packages there; the templates use none.
_NO_PACKAGES: Final = "/nonexistent"


def render_part(head: dict[str, Any], _: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """Typeset one part of a report from `head["context"]`; a `numbered` part is the whole report, tagged.

    Where another part follows (`head["goesOn"]`), the last page is dropped unless it is the only one: it may be
    half empty. The response has the number of `pages` that remain and of the `rows` on them; the next part begins
    with the row after.
    """
    is_single_part = head["context"]["numbered"]
    compiler = _compiler("report.typ", report=json.dumps(head["context"]))
    content = cast("bytes", compiler.compile(pdf_tags=is_single_part))
    [end] = json.loads(compiler.query("<end>", field="value"))
    row_count, pages = len(head["context"]["rows"]), end["pages"]
    with pikepdf.open(io.BytesIO(content)) as pdf:
        if head["goesOn"] and pages > 1:
            del pdf.pages[-1]
            row_count, pages = end["cut"], pages - 1
        return _save(pdf), {"pages": pages, "rows": row_count}


def join_parts(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """Join the parts into one PDF and number its pages."""
    with pikepdf.new() as joined:
        for piece in pieces:
            with pikepdf.open(io.BytesIO(piece)) as part:
                joined.pages.extend(part.pages)
        pages = len(joined.pages)
        numbers = cast("bytes", _compiler("page_numbers.typ", pages=str(pages)).compile(pdf_tags=False))
        with pikepdf.open(io.BytesIO(numbers)) as footers:
            for page, footer in zip(joined.pages, footers.pages, strict=True):
                page.add_overlay(footer, None)
            joined.docinfo["/Title"] = head["title"]
            joined.docinfo["/Author"] = head["organisation"]
            return _save(joined), {"pages": pages}


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
