"""Procrastinate tasks; procrastinate discovers them by this module's name."""

import uuid

from procrastinate.contrib.django import app

from exports.background import export_jobs, export_worker
from exports.file_imports import import_jobs, import_worker


@app.task(name=export_jobs.JOB_TYPE.task, queue=export_jobs.JOB_TYPE.name)
def write(export_id: str) -> None:
    """Write one background export."""
    export_worker.write(uuid.UUID(export_id))


@app.task(name=import_jobs.JOB_TYPE.task, queue=import_jobs.JOB_TYPE.name)
def apply(import_id: str) -> None:
    """Apply one import."""
    import_worker.apply(uuid.UUID(import_id))
