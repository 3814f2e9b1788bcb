"""In the renderer: pictures that people send, read with suspicion and written anew."""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

from PIL import Image, ImageOps, UnidentifiedImageError

# What a telephone's camera makes today; more pixels than that are an attack or a mistake.
MAX_PIXELS: Final = 50_000_000
# Sharp on a printed page, and no larger than it must be.
MAX_SIDE_PIXELS: Final = 2000
_FORMATS: Final = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_QUALITY: Final = 85

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)


class NotAPicture(Exception):
    """The bytes cannot be taken; `reason` says why, in words for whoever sent them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def clean(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """Write a picture anew: upright, at most 2,000 pixels a side, without anything that stood beside it.

    A photo becomes JPEG; one that may be transparent (a signature) PNG. Raises NotAPicture.
    """
    try:
        # By content: what it calls itself does not count.
        with Image.open(io.BytesIO(pieces[0]), formats=list(_FORMATS)) as source:
            _check_header(source)
            source.draft("RGB", (MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))  # a JPEG is read no larger than it is used
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
        raise NotAPicture("It cannot be read as a picture: it is broken or cut off.") from None


def _check_header(source: Image.Image) -> None:
    """Look at what the head of the file says, before anything of it is read."""
    if source.width * source.height > MAX_PIXELS:
        raise NotAPicture(f"It has more than {MAX_PIXELS:,} pixels.")
    if getattr(source, "n_frames", 1) > 1:
        raise NotAPicture("It moves; send one still picture.")


def _encode(picture: Image.Image) -> tuple[bytes, Mapping[str, Any]]:
    transparent = picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info
    kind, picture = ("PNG", picture.convert("RGBA")) if transparent else ("JPEG", picture.convert("RGB"))
    # A new picture of the same dots: no EXIF, no profile, no comment comes along.
    stripped = Image.new(picture.mode, picture.size)
    stripped.paste(picture)
    target = io.BytesIO()
    if kind == "PNG":
        stripped.save(target, "PNG", optimize=True)
    else:
        stripped.save(target, "JPEG", quality=_QUALITY, optimize=True)
    return target.getvalue(), {"mediaType": _FORMATS[kind], "width": stripped.width, "height": stripped.height}
