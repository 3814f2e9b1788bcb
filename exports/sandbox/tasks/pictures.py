"""Renderer task `picture`: re-encode an untrusted picture, without metadata."""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

# About what a phone camera makes; more is an attack or a mistake.
MAX_PIXELS: Final = 50_000_000
# Sharp on a printed page.
MAX_SIDE_PIXELS: Final = 2000
_FORMATS: Final = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_QUALITY: Final = 85

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)


class NotAPicture(Exception):
    """The bytes are refused; `reason` is a text for the sender."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def clean(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """Re-encode a picture: upright, at most 2,000 pixels a side, without EXIF, profile or comments.

    A picture with transparency (a signature) becomes PNG, any other JPEG. Raises NotAPicture.
    """
    # WeasyPrint sets it for the whole process when it is loaded: half a picture would pass as a whole one.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        # Pillow tries these formats by content, whatever the file calls itself.
        with Image.open(io.BytesIO(pieces[0]), formats=list(_FORMATS)) as source:
            _check_header(source)
            source.draft("RGB", (MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))  # decode a large JPEG at reduced size
            picture = ImageOps.exif_transpose(source)
            picture.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
            return _encode(picture)
    except NotAPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise NotAPicture(f"It has more than {MAX_PIXELS:,} pixels.") from None
    except UnidentifiedImageError:
        raise NotAPicture("It is no PNG, JPEG or WebP picture.") from None
    except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, MemoryError):
        raise NotAPicture("It cannot be read as a picture: it is broken or truncated.") from None


def _check_header(source: Image.Image) -> None:
    """Check size and frames from the file's header, before any pixel is decoded; raises NotAPicture."""
    if source.width * source.height > MAX_PIXELS:
        raise NotAPicture(f"It has more than {MAX_PIXELS:,} pixels.")
    if getattr(source, "n_frames", 1) > 1:
        raise NotAPicture("It is animated; send one still picture.")


def _encode(picture: Image.Image) -> tuple[bytes, Mapping[str, Any]]:
    transparent = picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info
    kind, picture = ("PNG", picture.convert("RGBA")) if transparent else ("JPEG", picture.convert("RGB"))
    # A new image with the same pixels: EXIF, profile and comments stay behind.
    stripped = Image.new(picture.mode, picture.size)
    stripped.paste(picture)
    target = io.BytesIO()
    if kind == "PNG":
        stripped.save(target, "PNG", optimize=True)
    else:
        stripped.save(target, "JPEG", quality=_QUALITY, optimize=True)
    return target.getvalue(), {"mediaType": _FORMATS[kind], "width": stripped.width, "height": stripped.height}
