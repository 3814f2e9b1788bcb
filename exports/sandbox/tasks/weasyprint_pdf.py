"""Renderer task `page`: HTML templates to PDF by WeasyPrint."""

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import weasyprint
from django.conf import settings
from django.template import Context, Engine
from weasyprint.text.fonts import FontConfiguration

from exports.sandbox.tasks.assets import TEMPLATES, AssetFetcher

# Only for the template engine; the product's settings are not loaded here.
settings.configure(USE_I18N=False, USE_TZ=True)
# Its warnings about unknown CSS would fill the server's log.
logging.getLogger("weasyprint").setLevel(logging.CRITICAL)

_engine: Final = Engine(dirs=[str(TEMPLATES)], autoescape=True)
# Loads the fonts once for all documents.
_fonts: Final = FontConfiguration()


def render(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """Draw `head["template"]` with `head["context"]`; `pieces` are the contents of `head["pictures"]`, in order."""
    fetcher = AssetFetcher(dict(zip(head["pictures"], pieces, strict=True)))
    html = _engine.get_template(head["template"]).render(Context(head["context"]))
    document = weasyprint.HTML(string=html, url_fetcher=fetcher, base_url="asset:document").render(
        stylesheets=[_stylesheet()], font_config=_fonts, pdf_variant="pdf/ua-1"
    )
    content: bytes = document.write_pdf(pdf_variant="pdf/ua-1")
    return content, {"pages": len(document.pages), "refused": fetcher.refused_count}


@lru_cache(maxsize=1)
def _stylesheet() -> weasyprint.CSS:
    return weasyprint.CSS(
        string=(TEMPLATES / "document.css").read_text(),
        url_fetcher=AssetFetcher(),
        base_url="asset:style",
        font_config=_fonts,
    )
