"""Pictures that people send, cleaned in a renderer: a stranger's file is read by nobody who serves others."""

import hashlib
from typing import Final

from exports.sandbox import pool
from shipments.domain.pictures import CleanerUnavailable, InvalidPicture, Picture

_TIMEOUT_SECONDS: Final = 15.0


def clean_picture(raw: bytes) -> Picture:
    """Return the picture written anew; raises NotAPicture or CannotClean."""
    try:
        result = pool.shared().run(pool.Task("picture", {}, [raw], seconds=_TIMEOUT_SECONDS))
    except pool.PoolBusy:
        raise CleanerUnavailable("Too many pictures and documents are being worked on.") from None
    except pool.TaskFailed as error:
        # Of its own reading a renderer dies only if it was made to.
        raise InvalidPicture(error.reason or "It cannot be read as a picture.") from None
    return Picture(
        content=result.content,
        media_type=str(result.metadata["mediaType"]),
        width=int(result.metadata["width"]),
        height=int(result.metadata["height"]),
        sha256=hashlib.sha256(raw).digest(),
    )
