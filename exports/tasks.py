"""The tasks that procrastinate's workers know; it finds them by this module's name."""

import uuid

from procrastinate.contrib.django import app

from exports import orders, work


@app.task(name=orders.LINE.task, queue=orders.LINE.name)
def write(export_id: str) -> None:
    """This will write one background export."""
    work.write(uuid.UUID(export_id))
