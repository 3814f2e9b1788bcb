"""In the renderer: reports of many pages by typst, part by part, and the parts joined (docs/decisions/0020)."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import font_source_sans_pro
import pikepdf
import typst

_FOLDER: Final = Path(__file__).resolve().parents[2] / "templates" / "exports"
_LETTERS: Final = [font_source_sans_pro.font_directory]
# Where `#import` would look for packages; none of our templates has one.
_NO_PACKAGES: Final = "/nonexistent"


def report(head: dict[str, Any], _: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """This will set a part of a report, `head["context"]`: whole and tagged where it is `numbered`.

    Of a part that others follow (`head["goesOn"]`) the last page is left away unless it is the only one: it may be
    part empty. `rows` of the answer tells how many rows stand on the others, `pages` how many there are.
    """
    whole = head["context"]["numbered"]
    compiler = _compiler("report.typ", told=json.dumps(head["context"]))
    made = cast("bytes", compiler.compile(pdf_tags=whole))
    [end] = json.loads(compiler.query("<end>", field="value"))
    cut, pages = len(head["context"]["rows"]), end["pages"]
    with pikepdf.open(io.BytesIO(made)) as pdf:
        if head["goesOn"] and pages > 1:
            del pdf.pages[-1]
            cut, pages = end["cut"], pages - 1
        return _written(pdf), {"pages": pages, "rows": cut}


def joined(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """This will join the parts and number their pages."""
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
            return _written(whole), {"pages": pages}


def _compiler(template: str, **inputs: str) -> typst.Compiler:
    return typst.Compiler(
        str(_FOLDER / template),
        root=str(_FOLDER),
        font_paths=_LETTERS,
        sys_inputs=inputs,
        package_path=_NO_PACKAGES,
        package_cache_path=_NO_PACKAGES,
    )


def _written(pdf: pikepdf.Pdf) -> bytes:
    target = io.BytesIO()
    pdf.save(target, object_stream_mode=pikepdf.ObjectStreamMode.generate, deterministic_id=True)
    return target.getvalue()
