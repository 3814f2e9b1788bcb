"""The tasks that procrastinate's workers know; it finds them by this module's name."""

import uuid

from procrastinate.contrib.django import app

from exports import orders, work
from exports.imports import orders as import_orders
from exports.imports import work as import_work


@app.task(name=orders.JOB_TYPE.task, queue=orders.JOB_TYPE.name)
def write(export_id: str) -> None:
    """This will write one background export."""
    work.write(uuid.UUID(export_id))


@app.task(name=import_orders.JOB_TYPE.task, queue=import_orders.JOB_TYPE.name)
def apply(import_id: str) -> None:
    """This will apply one import."""
    import_work.apply(uuid.UUID(import_id))
