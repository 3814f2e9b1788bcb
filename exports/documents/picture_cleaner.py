"""Re-encode uploaded pictures in a renderer: a server process never decodes an untrusted file."""

import hashlib
from typing import Final

from exports.sandbox import pool
from shipments.domain.pictures import CleanerUnavailable, InvalidPicture, Picture

_TIMEOUT_SECONDS: Final = 10.0


def clean_picture(raw: bytes, tenant: str) -> Picture:
    """Return the re-encoded picture; `sha256` is that of the upload. Raises InvalidPicture, CleanerUnavailable."""
    try:
        result = pool.shared().run(pool.Task("picture", {}, [raw], seconds=_TIMEOUT_SECONDS, tenant=tenant))
    except pool.PoolBusy:
        raise CleanerUnavailable("Too many pictures and documents are being processed.") from None
    except pool.TaskFailed as error:
        # Without a reason the renderer died or ran out of time: a picture made to do that.
        raise InvalidPicture(error.reason or "It cannot be read as a picture.") from None
    return Picture(
        content=result.content,
        media_type=str(result.metadata["mediaType"]),
        width=int(result.metadata["width"]),
        height=int(result.metadata["height"]),
        sha256=hashlib.sha256(raw).digest(),
    )
