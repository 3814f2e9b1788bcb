"""Pictures that people send, cleaned in a renderer: a stranger's file is read by nobody who serves others."""

import hashlib
from typing import Final

from exports.pdf import pool
from shipments.pictures import CannotClean, NotAPicture, Picture

_SECONDS: Final = 15.0


def cleaned(raw: bytes) -> Picture:
    """This will return the picture written anew; raises NotAPicture or CannotClean."""
    try:
        done = pool.shared().run(pool.Task("picture", {}, [raw], seconds=_SECONDS))
    except pool.Busy:
        raise CannotClean("Too many pictures and documents are being worked on.") from None
    except pool.Failed as error:
        # Of its own reading a renderer dies only if it was made to.
        raise NotAPicture(error.reason or "It cannot be read as a picture.") from None
    return Picture(
        content=done.made,
        media_type=str(done.about["mediaType"]),
        width=int(done.about["width"]),
        height=int(done.about["height"]),
        sha256=hashlib.sha256(raw).digest(),
    )
