"""The tasks that procrastinate's workers know; it finds them by this module's name."""

import uuid

from procrastinate.contrib.django import app

from exports.background import export_jobs, export_worker
from exports.file_imports import import_jobs as import_orders
from exports.file_imports import import_worker as import_work


@app.task(name=export_jobs.JOB_TYPE.task, queue=export_jobs.JOB_TYPE.name)
def write(export_id: str) -> None:
    """Write one background export."""
    export_worker.write(uuid.UUID(export_id))


@app.task(name=import_orders.JOB_TYPE.task, queue=import_orders.JOB_TYPE.name)
def apply(import_id: str) -> None:
    """Apply one import."""
    import_work.apply(uuid.UUID(import_id))
